// The commands as a person types them: npm, in a process of its own, from any folder.
import { spawn } from 'node:child_process';
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ROOT } from '../scripts/lib/paths.ts';
import { freePort } from '../scripts/lib/port.ts';
import { cutFilm, inspect } from './support/media.ts';
import { descendants, processes, until } from './support/processes.ts';
import { temporaryFolder } from './support/stack.ts';

const folder = await temporaryFolder('commands');
/** Not the usual one: a stack that the developer has running stays out of this. */
const dataDir = await temporaryFolder('commands-data');

const started: Command[] = [];
afterEach(() => {
  for (const command of started.splice(0)) command.destroy();
});

class Command {
  output = '';
  readonly pid: number;
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[], cwd = folder) {
    const child = spawn('npm', ['--prefix', ROOT, ...args], {
      cwd,
      env: { ...process.env, EXPORT_JOBS_DATA: dataDir },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, as a terminal would give it.
      detached: true,
    });
    this.pid = child.pid ?? 0;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
    this.ended = new Promise((resolve) => child.once('close', resolve));
    started.push(this);
  }

  destroy(): void {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  }
}

/** What is left of the stack of these tests, whoever its parent is by now. */
function leftovers() {
  return processes().filter(({ args, cwd }) => args.includes(dataDir) || cwd.startsWith(dataDir));
}

async function serving(port: number): Promise<Command> {
  const command = new Command(['start', '--', '--port', `${port}`]);
  await until('the address is printed', () => command.output.includes('Ctrl-C')).catch(
    (error: unknown) => {
      throw new Error(command.output, { cause: error });
    },
  );
  return command;
}

describe('npm start -- FILE', () => {
  it('makes a file that plays, says where it is, and leaves no process behind', async () => {
    const film = await cutFilm(folder, { seconds: 1, name: 'holiday film.mp4' });
    const options = ['--format', 'webm', '--width', '160', '--start', '0.5', '--mute'];
    const command = new Command(['start', '--', path.basename(film), ...options]);
    const below = await until('it runs', () => {
      const all = descendants(command.pid);
      return all.some(({ program }) => program === 'workerd') && all;
    });
    expect(await command.ended, command.output).toBe(0);
    const made = path.join(folder, 'holiday film-export.webm');
    expect(command.output).toContain(made);
    expect(await inspect(made)).toMatchObject({ video: 'vp9', width: 160, frames: 12 });
    const pids = new Set(below.map(({ pid }) => pid));
    expect(processes().filter(({ pid }) => pids.has(pid))).toEqual([]);
    expect(leftovers()).toEqual([]);
  });

  it('never writes over a file', async () => {
    const film = await cutFilm(folder, { seconds: 1, name: 'twice.mp4' });
    await copyFile(film, path.join(folder, 'twice-export.mp4'));
    const free = new Command(['start', '--', film, '--width', '64']);
    expect(await free.ended, free.output).toBe(0);
    expect(await readdir(folder)).toContain('twice-export-2.mp4');
    const taken = new Command(['start', '--', film, '--width', '64', '-o', 'twice-export.mp4']);
    expect(await taken.ended).toBe(1);
    expect(taken.output).toContain('exists already');
  });

  it('says why there is no result, and fails', async () => {
    await writeFile(path.join(folder, 'notes.mp4'), 'not a film\n'.repeat(100));
    const broken = new Command(['start', '--', 'notes.mp4']);
    expect(await broken.ended).toBe(1);
    expect(broken.output).toContain('This file is not a video that can be read.');
    const missing = new Command(['start', '--', 'nowhere.mp4']);
    expect(await missing.ended).toBe(1);
    expect(missing.output).toContain('There is no file');
  });

  it.each([
    [['film.mp4', '--format', 'avi'], '--format'],
    [['film.mp4', '--width', '33'], '--width'],
    [['film.mp4', '--quality', 'best'], '--quality'],
    [['film.mp4', '--format', 'webm', '--codec', 'h264'], '--codec'],
    [['film.mp4', '--start', '2', '--end', '1'], '--end must end after it starts'],
    [['film.mp4', '--frobnicate'], 'frobnicate'],
    [['--mute'], '--mute'],
    [['--port', 'http'], '--port'],
  ])('refuses %j with a word about it', async (args, word) => {
    const command = new Command(['start', '--', ...args]);
    expect(await command.ended).toBe(2);
    expect(command.output).toContain(word);
  });
});

describe('npm start', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const)(
    'ends with everything that it started, at %s',
    async (signal) => {
      const port = await freePort();
      const command = await serving(port);
      expect(command.output).toContain(`http://localhost:${port}`);
      expect(command.output).toContain('development');
      expect((await fetch(`http://localhost:${port}/healthz`)).status).toBe(200);
      const below = descendants(command.pid).map(({ pid }) => pid);
      expect(below.length).toBeGreaterThan(3);
      // Ctrl-C reaches everything in the terminal; the other signals are sent to npm alone.
      process.kill(signal === 'SIGINT' ? -command.pid : command.pid, signal);
      await command.ended;
      await until('nothing is left', () => {
        const left = processes().filter(({ pid }) => below.includes(pid));
        return left.length === 0 && leftovers().length === 0;
      });
    },
  );

  it('ends with everything when its own process is killed and can do nothing', async () => {
    const command = await serving(await freePort());
    const all = descendants(command.pid);
    const supervisor = all.find(({ args }) => args.includes('scripts/start.ts'));
    process.kill(supervisor?.pid ?? 0, 'SIGKILL');
    await until('nothing is left', () => {
      const pids = new Set(all.map(({ pid }) => pid));
      return !processes().some(({ pid }) => pids.has(pid)) && leftovers().length === 0;
    });
  });

  it('names a taken port and what to do', async () => {
    const server = createServer();
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const command = new Command(['start', '--', '--port', `${port}`]);
    expect(await command.ended).toBe(1);
    expect(command.output).toContain(`Port ${port} is taken`);
    expect(command.output).toContain('--port');
    await new Promise((resolve) => server.close(resolve));
  });

  it('does not start twice on the same data, and says where the first one is', async () => {
    const port = await freePort();
    const first = await serving(port);
    const second = new Command(['start', '--', '--port', `${await freePort()}`]);
    expect(await second.ended).toBe(1);
    expect(second.output).toContain(`http://localhost:${port}`);

    const film = await cutFilm(folder, { seconds: 1, name: 'guest.mp4' });
    const guest = new Command(['start', '--', film, '--width', '64']);
    expect(await guest.ended, guest.output).toBe(0);
    expect((await fetch(`http://localhost:${port}/healthz`)).status).toBe(200);
    process.kill(first.pid, 'SIGTERM');
    await until('nothing is left', () => leftovers().length === 0);
  });
});

describe('npm run dev in workers/', () => {
  it('serves the address that was asked for and says that it is in development mode', async () => {
    const port = await freePort();
    const command = new Command(['run', 'dev', '-w', 'workers', '--', '--port', `${port}`]);
    await until('the address is printed', () => command.output.includes('Ctrl-C'));
    expect(command.output).toContain('development');
    const health: unknown = await (await fetch(`http://localhost:${port}/healthz`)).json();
    expect(health).toMatchObject({ ok: true, development: true });
    expect((await fetch(`http://localhost:${port}/`)).status).toBe(200);
    process.kill(command.pid, 'SIGTERM');
    await until('nothing is left', () => leftovers().length === 0);
  });
});

describe('npm run doctor', () => {
  it('finds this machine ready', async () => {
    const command = new Command(['run', 'doctor']);
    expect(await command.ended, command.output).toBe(0);
    expect(command.output).toMatch(/ffmpeg +\S+ from (PATH|FFMPEG_PATH|npm)/);
  });
});
