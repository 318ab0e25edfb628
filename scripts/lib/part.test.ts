import { spawn } from 'node:child_process';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { backOff, Part, type PartOptions } from './part.ts';

/** Starts a child of its own, tells its id, and lives until it is killed. */
const PARENT = `
  const { spawn } = require('node:child_process');
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  console.log('child ' + child.pid);
  setInterval(() => {}, 1000);`;

async function start(script: string, options: Partial<PartOptions> = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-part-'));
  const said: string[] = [];
  const lines: string[] = [];
  const logFile = path.join(folder, 'part.log');
  const part = new Part({
    name: 'part',
    args: ['-e', script],
    cwd: folder,
    env: {},
    logFile,
    say: (text) => said.push(text),
    onLine: (line) => {
      lines.push(line);
      return line.includes('unlogged') ? null : line.replace('secret', '…');
    },
    ...options,
  });
  onTestFinished(async () => await part.stop(500));
  return { part, said, lines, logFile };
}

const lineAfter = async (lines: readonly string[], count: number) =>
  await expect.poll(() => lines.length, { timeout: 10_000 }).toBeGreaterThan(count);

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const gone = async (pid: number) =>
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);

const childIn = (lines: readonly string[], index = 0) => Number(lines[index]?.split(' ')[1]);

describe('a part', () => {
  it('is started again when it is killed, and its own children are ended first', async () => {
    const { part, said, lines } = await start(PARENT);
    await lineAfter(lines, 0);
    const { pid = 0 } = part;
    process.kill(pid, 'SIGKILL');
    await lineAfter(lines, 1);
    expect(part.pid).not.toBe(pid);
    expect(part.starts).toBe(2);
    await gone(childIn(lines));
    expect(said).toEqual(['the part ended unexpectedly (SIGKILL); starting it again']);
  });

  it('ends with its children when it is stopped, also when it will not', async () => {
    const { part, lines } = await start(`process.on('SIGTERM', () => {}); ${PARENT}`);
    await lineAfter(lines, 0);
    const { pid = 0 } = part;
    await part.stop(300);
    expect(isAlive(pid)).toBe(false);
    expect(part.pid).toBeUndefined();
    await gone(childIn(lines));
    expect(part.starts).toBe(1);
  });

  it('is started again when it cried for help and then does not answer', async () => {
    const { part, said, lines } = await start(`console.log('help'); ${PARENT}`, {
      answers: async () => false,
      distress: /help/,
    });
    await expect.poll(() => part.starts, { timeout: 15_000 }).toBe(2);
    expect(said).toEqual(['the part does not answer; starting it again']);
    await gone(childIn(lines, 1));
  });

  it('is left alone while it answers', async () => {
    let asked = 0;
    const { part } = await start(PARENT, { answers: async () => (asked += 1) > 0 });
    await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(part.starts).toBe(1);
  });

  it('writes to its log what is given of what it prints', async () => {
    const { part, lines, logFile } = await start(
      `console.log('one'); console.error('two secret'); console.log('unlogged'); ${PARENT}`,
    );
    await lineAfter(lines, 3);
    await part.stop(500);
    const log = await readFile(logFile, 'utf8');
    expect(log).toContain('one\n');
    expect(log).toContain('two …\n');
    expect(log).not.toContain('unlogged');
  });

  it('dies with its supervisor, even when that is killed', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-part-'));
    const options = { name: 'part', args: ['-e', PARENT], cwd: folder, env: {} };
    const script = `
      const { Part } = await import(${JSON.stringify(path.join(import.meta.dirname, 'part.ts'))});
      const part = new Part({
        ...${JSON.stringify(options)},
        logFile: ${JSON.stringify(path.join(folder, 'log'))},
        say: () => {},
        onLine: (line) => { console.log(part.pid + ' ' + line.split(' ')[1]); return true; },
      });`;
    const supervisor = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    supervisor.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await expect.poll(() => printed, { timeout: 10_000 }).toContain('\n');
    const pids = printed.trim().split(' ').map(Number);
    expect(pids.map(isAlive)).toEqual([true, true]);
    supervisor.kill('SIGKILL');
    for (const pid of pids) await gone(pid);
  });
});

it('waits longer and longer between starts that come to nothing, up to ten seconds', () => {
  expect([0, 1, 2, 10].map(backOff)).toEqual([250, 500, 1000, 10_000]);
});
