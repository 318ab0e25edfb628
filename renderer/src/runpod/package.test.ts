import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { RUNTIME } from './api.ts';
import { heard, openQueue, run, until } from './test/harness.ts';

const execute = promisify(execFile);
const HERE = import.meta.dirname;
const module = (...parts: string[]) => join(HERE, '..', '..', '..', 'node_modules', ...parts);
const TSC = module('typescript', 'bin', 'tsc');

const WORKER = `
import { serve } from '@export-jobs/runpod-worker';
await serve(async ({ input }) => ({ output: { twice: input.n * 2 } }));
`;
const CONSUMER = `
import { serve, type Handler } from '@export-jobs/runpod-worker';
import { startStandIn } from '@export-jobs/runpod-worker/stand-in';
const handler: Handler = async (job, { progress }) => {
  progress(50);
  return { output: job.id };
};
const queue = await startStandIn({ port: 0, apiKey: 'key' });
await serve(handler, { env: queue.workerEnv('w1') });
// @ts-expect-error: a result is named
const wrong: Handler = async () => 1;
await serve(wrong);
`;

/** A folder of somebody else's, with the built package and what it depends on, and nothing more. */
let folder: string;
let built: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'worker-package-'));
  const modules = join(folder, 'node_modules');
  built = join(modules, '@export-jobs', 'runpod-worker');
  await mkdir(join(modules, '@types'), { recursive: true });
  await execute(process.execPath, [join(HERE, 'build.ts'), built]);
  await symlink(module('valibot'), join(modules, 'valibot'));
  await symlink(module('@types', 'node'), join(modules, '@types', 'node'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
}, 60_000);
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe('the package', () => {
  it('runs a worker in plain JavaScript, with nothing but valibot beside it', async () => {
    const queue = await openQueue();
    await writeFile(join(folder, 'worker.js'), WORKER);
    const child = spawn(process.execPath, ['worker.js'], {
      cwd: folder,
      env: queue.workerEnv('w1'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'exit');
    onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    });
    let output = '';
    child.stdout.on('data', (part) => (output += String(part)));
    const id = await run(queue, { n: 21 });
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ output: { twice: 42 } });
    child.kill('SIGTERM');
    await exit;
    expect(child.exitCode).toBe(0);
    expect(heard(queue, 'job-done')).toHaveLength(1);
    const [line] = output.split('\n').filter((text) => text.includes('job started'));
    expect(JSON.parse(line ?? '')).toMatchObject({
      requestId: id,
      message: 'job started',
      level: 'INFO',
    });
  });

  it('carries types that a strict compiler accepts', async () => {
    await writeFile(join(folder, 'consumer.ts'), CONSUMER);
    const args = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024'];
    await execute(process.execPath, [TSC, ...args, '--types', 'node', 'consumer.ts'], {
      cwd: folder,
    });
  });

  it('holds what it needs: no tests, no TypeScript, nothing of the rest of the repository', async () => {
    const files = await readdir(built, { recursive: true });
    const names = files.filter((name) => name !== 'stand-in');
    expect(names.filter((name) => !/\.(js|d\.ts)$/.test(name)).toSorted()).toEqual([
      'LICENSE',
      'README.md',
      'package.json',
    ]);
    expect(names.filter((name) => name.includes('test'))).toEqual([]);
    for (const name of names.filter((file) => file.endsWith('.js'))) {
      const imports = (await readFile(join(built, name), 'utf8')).matchAll(/ from '([^']+)'/g);
      for (const [, from] of imports) expect(from).toMatch(/^(valibot$|node:|\.\.?\/)/);
    }
  });

  it('says the version that it tells RunPod', async () => {
    const manifest: unknown = JSON.parse(await readFile(join(built, 'package.json'), 'utf8'));
    const { version } = v.parse(v.object({ version: v.string() }), manifest);
    expect(RUNTIME).toBe(`runpod-worker-ts/${version}`);
  });
});
