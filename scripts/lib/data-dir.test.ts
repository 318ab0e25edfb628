import { spawn } from 'node:child_process';
import { mkdtemp, readFile, stat } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { claim, holderOf, secretsOf } from './data-dir.ts';

const fresh = async () => await mkdtemp(path.join(tmpdir(), 'export-jobs-data-'));

describe('a data folder', () => {
  it('belongs to one at a time, who can be asked where it is', async () => {
    const folder = await fresh();
    const mine = await claim(folder, 'http://localhost:1');
    if ('pid' in mine) throw new Error('it is taken');
    const holder = { pid: process.pid, url: 'http://localhost:1' };
    expect(await claim(folder, 'http://localhost:2')).toEqual(holder);
    expect(await holderOf(folder)).toEqual(holder);
    await mine.release();
    expect(await holderOf(folder)).toBeNull();
    expect(await claim(folder, 'http://localhost:2')).not.toHaveProperty('pid');
  });

  it('is free again when its holder was killed', async () => {
    const folder = await fresh();
    const script = `
      const { claim } = await import(${JSON.stringify(path.join(import.meta.dirname, 'data-dir.ts'))});
      await claim(${JSON.stringify(folder)}, 'http://localhost:3');
      console.log('claimed');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    expect(await holderOf(folder)).toEqual({ pid: child.pid, url: 'http://localhost:3' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await claim(folder, 'http://localhost:4')).not.toHaveProperty('pid');
  });

  it('works in a folder whose path is too long for a socket', async () => {
    const folder = path.join(await fresh(), 'x'.repeat(120));
    const mine = await claim(folder, 'http://localhost:5');
    expect(await claim(folder, 'http://localhost:6')).toMatchObject({ url: 'http://localhost:5' });
    if ('release' in mine) await mine.release();
  });

  it('keeps its secrets, which only its owner can read', async () => {
    const folder = await fresh();
    const first = await secretsOf(folder);
    expect(first.signingKeys).toMatch(/^k1:[0-9a-f]{64}$/);
    expect(await secretsOf(folder)).toEqual(first);
    expect((await secretsOf(await fresh())).signingKeys).not.toBe(first.signingKeys);
    const file = path.join(folder, 'secrets.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toContain(first.runpodApiKey);
  });
});
