// The command line client as scripts and people use it: a process of its own, against a real stack.
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ExportJob } from '@export-jobs/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { inRoot } from '../scripts/lib/paths.ts';
import { freePort } from '../scripts/lib/port.ts';
import type { Stack } from '../scripts/stack.ts';
import { endOf, jobOf } from './support/http.ts';
import { cutFilm, inspect } from './support/media.ts';
import { until } from './support/processes.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

let stack: Stack;
let folder: string;
let film: string;
beforeAll(async () => {
  [stack, folder] = await Promise.all([freshStack(), temporaryFolder('cli')]);
  film = await cutFilm(folder, { seconds: 2, name: 'holiday film.mp4' });
});
afterAll(async () => await stack.close());

const started: Cli[] = [];
afterEach(() => {
  for (const cli of started.splice(0)) cli.signal('SIGKILL');
});

class Cli {
  stdout = '';
  stderr = '';
  readonly code: Promise<number | null>;
  readonly signal: (signal: NodeJS.Signals) => void;

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const child = spawn(process.execPath, [inRoot('cli', 'src', 'main.ts'), ...args], {
      cwd: folder,
      env: { ...process.env, EXPORT_JOBS_URL: stack.url, EXPORT_JOBS_TOKEN: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.code = new Promise((resolve) => child.once('close', resolve));
    this.signal = (signal) => void child.kill(signal);
    started.push(this);
  }

  get said(): string {
    return `${this.stdout}\n${this.stderr}`;
  }

  /** What it printed for programs. */
  get jobs(): ExportJob[] {
    const line = v.pipe(v.string(), v.parseJson(), ExportJob);
    return this.stdout
      .trimEnd()
      .split('\n')
      .map((text) => v.parse(line, text));
  }
}

/** Runs to the end and expects it to end so. */
async function ends(code: number, args: readonly string[], env?: Record<string, string>) {
  const cli = new Cli(args, env);
  expect(await cli.code, cli.said).toBe(code);
  return cli;
}

/** Long enough to be met while it is rendered. */
async function longFilm(): Promise<string> {
  return await cutFilm(folder, { seconds: 10, width: 640, height: 360, name: 'long.mp4' });
}

describe('create', () => {
  it('waits for the export, saves a file that plays, and prints its path alone', async () => {
    const options = ['--width', '160', '--start', '0.5', '--mute', '-o', 'out.mp4'];
    const cli = await ends(0, ['create', path.basename(film), ...options]);
    const made = path.join(folder, 'out.mp4');
    expect(cli.stdout).toBe(`${made}\n`);
    expect(await inspect(made)).toMatchObject({ video: 'h264', width: 160, frames: 36 });
    expect(cli.stderr).toMatch(/^100 % {2}sending/m);
    expect(cli.stderr).toContain('100 %  complete');
    expect(cli.stderr).not.toContain('\x1b');
  });

  it('prints one job a line for programs, the last one complete', async () => {
    const cli = await ends(0, ['create', film, '--json', '--watch', '--width', '64']);
    const { jobs } = cli;
    expect(jobs.length).toBeGreaterThan(2);
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(1);
    expect(jobs.map(({ status }) => status)).toContain('processing');
    expect(jobs.at(-1)).toMatchObject({ status: 'complete', progress: 100 });
    expect(cli.stderr).toBe('');
  });

  it('prints the id when it does not wait, and gives the same export to the same key', async () => {
    const once = await ends(0, ['create', film, '--width', '64', '--idempotency-key', 'once']);
    const [, id] = /^(\S+)\n$/.exec(once.stdout) ?? [];
    const job = await jobOf(stack.url, id ?? '');
    const again = ['create', job.upload_id ?? '', '--width', '64', '--idempotency-key', 'once'];
    expect((await ends(0, again)).stdout).toBe(once.stdout);
    // Another upload is another request; it is refused before its bytes are sent.
    const other = await ends(5, ['create', film, '--width', '64', '--idempotency-key', 'once']);
    expect(other.stderr).not.toContain('sending');
  });

  it('ends with 1 and the reason when the export fails', async () => {
    await writeFile(path.join(folder, 'notes.mp4'), 'not a film\n'.repeat(100));
    const cli = await ends(1, ['create', 'notes.mp4', '--watch']);
    expect(cli.stderr).toContain('This file is not a video that can be read.');
    expect(cli.stdout).toBe('');
  });

  it('never writes over a file, and says so before it sends anything', async () => {
    const taken = path.join(folder, 'taken.mp4');
    await writeFile(taken, 'mine');
    const cli = await ends(2, ['create', film, '-o', 'taken.mp4']);
    expect(cli.stderr).toContain('exists already');
    expect(cli.stderr).not.toContain('sending');
    expect(await readFile(taken, 'utf8')).toBe('mine');
    await ends(0, ['create', film, '--width', '64', '-o', 'taken.mp4', '--force']);
    expect(await inspect(taken)).toMatchObject({ width: 64 });
  });

  it('learns what the server does not accept before the file is sent', async () => {
    const cli = await ends(2, ['create', film, '--width', '33', '--tag', 'no spaces']);
    expect(cli.stderr).toContain('--width must be even (/options/width)');
    expect(cli.stderr).toContain('--tag');
    expect(cli.stderr).not.toContain('sending');
  });
});

describe('one export', () => {
  it('is cancelled, is then no longer to be had, and can be repeated', async () => {
    const source = await longFilm();
    const [made] = (
      await ends(0, ['create', source, '--format', 'webm', '--codec', 'av1', '--json'])
    ).jobs;
    const id = made?.id ?? '';
    const watcher = new Cli(['watch', id]);
    await until('it watches', () => watcher.stderr !== '');
    const [cancelled] = (await ends(0, ['cancel', id, '--json'])).jobs;
    expect(cancelled).toMatchObject({ id, status: 'cancelled' });
    expect(await watcher.code, watcher.said).toBe(3);
    await ends(3, ['watch', id]);
    await ends(0, ['cancel', id]);
    await ends(3, ['download', id, '-o', 'never.mp4']);
    const retried = (await ends(0, ['retry', id])).stdout.trim();
    expect(await jobOf(stack.url, retried)).toMatchObject({ retry_of: id });
    await ends(5, ['download', retried]);
    await ends(0, ['cancel', retried]);
  });

  it('goes on when who watches it is interrupted', async () => {
    const source = await longFilm();
    const cli = new Cli(['create', source, '--watch']);
    await until('it renders', () => / %  (?!sending)/.test(cli.stderr));
    cli.signal('SIGINT');
    expect(await cli.code, cli.said).toBe(130);
    const [, id] = /^export (\S+)$/m.exec(cli.stderr) ?? [];
    expect(cli.stderr).toContain(`the export goes on. To stop it: export-jobs cancel ${id}`);
    expect(cli.stderr).not.toContain('    at ');
    expect((await jobOf(stack.url, id ?? '')).status).not.toBe('cancelled');
    expect(await endOf(stack.url, id ?? '')).toMatchObject({ status: 'complete' });

    expect((await ends(0, ['get', id ?? ''])).stdout).toMatch(/^status +complete$/m);
    const link = (await ends(0, ['watch', id ?? ''])).stdout.trim();
    expect((await fetch(link)).status).toBe(200);
    await ends(0, ['download', id ?? '', '-o', 'later.mp4']);
    expect(await inspect(path.join(folder, 'later.mp4'))).toMatchObject({ width: 640 });
    await ends(2, ['download', id ?? '', '-o', 'later.mp4']);
  });

  it.each(['get', 'watch', 'cancel', 'retry', 'download'])(
    'that is not there ends %s with 4',
    async (command) => {
      const cli = await ends(4, [command, 'job_of_nobody']);
      expect(cli.stderr).toBe('export-jobs: There is no such job.\n');
      const json = await ends(4, [command, 'job_of_nobody', '--json']);
      expect(JSON.parse(json.stderr)).toMatchObject({ code: 'job_not_found', exit: 4 });
      expect(json.stdout).toBe('');
    },
  );
});

describe('list', () => {
  it('finds exports by their tag, the newest first, as many as are wanted', async () => {
    const args = ['create', film, '--width', '64', '--tag', 'trip:2026', '--tag', 'red', '--json'];
    const [first] = (await ends(0, args)).jobs;
    const { upload_id } = first ?? {};
    const [second] = (await ends(0, ['create', upload_id ?? '', ...args.slice(2)])).jobs;
    const found = (await ends(0, ['list', '--tag', 'trip:2026', '--json'])).jobs;
    expect(found.map(({ id }) => id)).toEqual([second?.id, first?.id]);
    const limited = await ends(0, ['list', '--tag', 'red', '--limit', '1']);
    expect(limited.stdout.split('\n')).toHaveLength(2);
    expect(limited.stdout).toContain(second?.id);
    expect(limited.stderr).toContain('--all');
    expect((await ends(0, ['list', '--tag', 'nothing'])).stdout).toBe('');
  });
});

describe('the command line', () => {
  it.each([
    [[], 'a command is missing'],
    [['explode'], 'there is no command "explode"'],
    [['create'], 'the file is missing'],
    [['create', 'nowhere.mp4'], 'There is no file'],
    [['create', 'a.mp4', '--format', 'avi'], '--format must be'],
    [['list', '--frobnicate'], '--frobnicate'],
    [['get', 'x', '--url', 'localhost'], '--url'],
  ])('%j ends with 2 and a word about it', async (args, word) => {
    const cli = await ends(2, args);
    expect(cli.stderr).toContain(word);
    expect(cli.stdout).toBe('');
  });

  it('has help for each command, with the exit codes', async () => {
    expect((await ends(0, ['--help'])).stdout).toContain('create FILE');
    const help = (await ends(0, ['create', '--help'])).stdout;
    expect(help).toContain('--max-dollars');
    expect(help).toMatch(/^ {2}6 +the server cannot be reached/m);
    expect((await ends(0, ['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('a server that is not there', () => {
  it.each([['get', 'x'], ['watch', 'x'], ['list'], ['doctor'], ['create', 'holiday film.mp4']])(
    'ends %s with 6 in seconds',
    async (...args) => {
      const from = performance.now();
      const cli = await ends(6, [...args, '--url', `http://localhost:${await freePort()}`]);
      expect(performance.now() - from).toBeLessThan(60_000);
      expect(cli.said).toContain('cannot be reached (ECONNREFUSED)');
      expect(cli.said).not.toContain('    at ');
    },
  );
});

describe('doctor', () => {
  it('finds a running server well', async () => {
    const cli = await ends(0, ['doctor']);
    expect(cli.stdout).toContain(`✓ server       ${stack.url} answers, in development mode`);
    expect(cli.stdout).toContain('✓ credentials');
  });
});

describe('a server that asks for credentials', () => {
  const API_KEY = 'k/+=0123456789abcdef0123456789abcdef';
  /** The Worker as it is where the start commands have not told it that this is a laptop. */
  const CLOSED_WORKER = `
    import worker from '${inRoot('workers', 'src', 'index.ts')}';
    export * from '${inRoot('workers', 'src', 'index.ts')}';
    const closed = ({ DEVELOPMENT, ...env }) => env;
    export default { ...worker, fetch: (request, env, ctx) => worker.fetch(request, closed(env), ctx) };
  `;
  let closed: Stack;
  const calls: string[] = [];
  beforeAll(async () => {
    const script = path.join(folder, 'closed.js');
    await writeFile(script, CLOSED_WORKER);
    const onLine = (part: string, line: string) => part === 'worker' && calls.push(line);
    closed = await freshStack({ workerCode: { script }, workerEnv: { API_KEY }, onLine });
  });
  afterAll(async () => await closed.close());

  it('is used with the API key, to the end and over the socket', async () => {
    const env = { EXPORT_JOBS_URL: closed.url, EXPORT_JOBS_TOKEN: API_KEY };
    const args = ['create', film, '--json', '--width', '64', '-o', 'closed.mp4'];
    const cli = await ends(0, args, env);
    expect(cli.jobs.at(-1)).toMatchObject({ status: 'complete' });
    expect(cli.said).not.toContain(API_KEY);
    // Not by polling, which would do as well.
    expect(calls.join('\n')).toMatch(/GET \/api\/jobs\/\w+\/ws.* 101 /);
    expect(await inspect(path.join(folder, 'closed.mp4'))).toMatchObject({ width: 64 });
    const seen = new Cli(['doctor'], env);
    expect(await seen.code, seen.said).toBe(0);
    expect(seen.stdout).toContain('✓ credentials  accepted');
  });

  it('has its keys made, listed and revoked by the operator', async () => {
    const env = { EXPORT_JOBS_URL: closed.url, EXPORT_JOBS_TOKEN: API_KEY };
    const made = await ends(0, ['keys', 'create', '--name', 'ci', '--tenant', 'acme'], env);
    const secret = made.stdout.trim();
    expect(secret).toMatch(/^ejk_[0-9a-z]{12}_[0-9a-z]{60}$/);
    const theirs = { ...env, EXPORT_JOBS_TOKEN: secret };
    const cli = await ends(
      0,
      ['create', film, '--json', '--width', '64', '-o', 'acme.mp4'],
      theirs,
    );
    expect(cli.jobs.at(-1)).toMatchObject({ status: 'complete' });
    const of = cli.jobs.at(-1)?.id ?? '';
    // Another tenant's export is unknown.
    for (const verb of ['get', 'delete']) await ends(4, [verb, of], env);
    expect((await ends(0, ['delete', of], theirs)).stdout).toBe(`${of} deleted\n`);
    await ends(4, ['get', of], theirs);
    const listed = await ends(0, ['keys', 'list', '--tenant', 'acme'], env);
    expect(listed.stdout).toContain('valid    acme  create,read,cancel,delete  used');
    expect(listed.stdout).not.toContain(secret);
    const id = secret.split('_')[1] ?? '';
    expect((await ends(0, ['keys', 'revoke', id], env)).stdout).toContain(`${id} revoked`);
    expect((await ends(0, ['keys', 'list', '--tenant', 'acme'], env)).stdout).toContain('revoked');
    await ends(5, ['keys', 'list'], theirs);
    await ends(4, ['keys', 'revoke', 'nobody'], env);
    await ends(2, ['keys', 'create'], env);
    await ends(2, ['keys', 'create', '--name', 'x', '--rights', 'everything'], env);
    await ends(2, ['keys', 'lose'], env);
  });

  it('refuses anybody else with 5, and the doctor says what to do', async () => {
    const env = { EXPORT_JOBS_URL: closed.url, EXPORT_JOBS_TOKEN: 'a-wrong-token' };
    for (const args of [['list'], ['create', film], ['doctor']]) {
      const cli = await ends(5, args, env);
      expect(cli.said).toContain('EXPORT_JOBS_TOKEN');
      expect(cli.said).not.toContain('a-wrong-token');
      expect(cli.said).not.toContain('sending');
    }
  });
});
