// Holds the end of all tools to the truth against what resists it, as only an administrator can run it.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { lstat, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  confined,
  endTools,
  stranger,
  UNCONFINED,
  type Confinement,
} from '../src/ffmpeg/confine.ts';
import { runTool } from '../src/ffmpeg/process.ts';
import { endUser, processes } from '../src/ffmpeg/processes.ts';
import { clearJobFolder, makeJobFolder } from '../src/job-folder.ts';
import { binWith, ffmpeg, Studio } from './media.ts';

const confinement: Confinement = ffmpeg?.tools.confinement ?? UNCONFINED;
const children: ChildProcess[] = [];
let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterEach(() => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await studio.close();
});

const livingOf = (uid: number) =>
  processes().filter(({ user, isAlive }) => isAlive && user === uid).length;

/** Each is run by two shells that no job waits for, once it has said so. */
const RESISTANCE = {
  nothing: 'exec sleep 60',
  'killing all that it can': 'while :; do kill -s KILL -- -1; done',
  'stopping all that it can': 'while :; do kill -s STOP -- -1; done',
  'ignoring what it can': "trap '' HUP INT TERM; while :; do sleep 60; done",
  'never being the same process for long': 'exec /bin/sh ./run',
};
/** Starts itself anew and is gone. */
const RUN = ': >mark; setsid /bin/sh ./run </dev/null >/dev/null 2>&1 &';

describe.skipIf(process.getuid?.() !== 0 || !confinement.asOther)(
  'what tools leave behind (needs an administrator)',
  () => {
    it.each(Object.entries(RESISTANCE))('is ended, though it resists by %s', async (_, script) => {
      const folder = await makeJobFolder(studio.root, confinement);
      const { uid } = await stat(folder);
      const daemon = `printf '%s' "$1" >run; printf '%s' "$2" >daemon; for n in 1 2; do
        setsid -f /bin/sh -c 'echo >"up-$1"; . ./daemon' sh "$n" </dev/null >/dev/null 2>&1; done; exec sleep 60`;
      const how = await confined(
        confinement,
        ['/bin/sh', '-c', daemon, 'sh', RUN, script],
        folder,
        { fileBytes: 512 },
      );
      const tool = runTool(...how, { timeoutMs: 60_000, cwd: folder });
      await vi.waitFor(async () => {
        expect(await readdir(folder)).toContain('up-1');
        expect(livingOf(uid)).toBeGreaterThan(0);
      }, 20_000);
      await endTools(folder);
      expect(livingOf(uid)).toBe(0);
      await rm(join(folder, 'mark'), { force: true });
      await tool;
      expect(await readdir(folder)).not.toContain('mark');
      await clearJobFolder(folder);
      await expect(lstat(dirname(folder))).rejects.toThrow('ENOENT');
    });

    it('leaves all others alone', async () => {
      const folder = await makeJobFolder(studio.root, confinement);
      const other = await makeJobFolder(studio.root, confinement);
      const sleep = async (inside: string) =>
        await confined(confinement, ['sleep', '60'], inside, { fileBytes: 0 });
      for (const run of [await sleep(folder), await sleep(other)]) {
        children.push(spawn(...run, { stdio: 'ignore' }));
      }
      const [{ uid }, { uid: foreign }] = [await stat(folder), await stat(other)];
      await vi.waitFor(() => expect([livingOf(uid), livingOf(foreign)]).toEqual([1, 1]), 20_000);
      await endTools(folder);
      expect([livingOf(uid), livingOf(foreign)]).toEqual([0, 1]);
    });

    it('is said not to be ended when it cannot be', async () => {
      const uid = stranger() ?? 0;
      children.push(sleeperOf(uid));
      await vi.waitFor(() => expect(livingOf(uid)).toBe(1), 20_000);
      vi.stubEnv(
        'PATH',
        `${await binWith(studio.root, 'exit 1', 'setpriv')}:${process.env['PATH']}`,
      );
      await expect(endUser(uid, uid - 10_000, 200)).rejects.toThrow(`1 processes of user ${uid}`);
      vi.unstubAllEnvs();
      await endUser(uid, uid - 10_000);
      expect(livingOf(uid)).toBe(0);
    });
  },
);

describe.skipIf(process.getuid?.() !== 0)('a job’s folder (needs an administrator)', () => {
  it.skipIf(!confinement.asOther)('cannot be moved away by who works in it', async () => {
    const folder = await makeJobFolder(studio.root, confinement);
    const move = ['/bin/sh', '-c', 'mv ../job ../moved || mv ../job ./moved'];
    const how = await confined(confinement, move, folder, { fileBytes: 0 });
    expect((await runTool(...how, { timeoutMs: 20_000, cwd: folder })).code).not.toBe(0);
    const around = await stat(dirname(folder));
    expect([around.uid, around.mode & 0o777]).toEqual([0, 0o711]);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  it('is not made where it cannot be given away though it has to be', async () => {
    const root = await makeJobFolder(studio.root, UNCONFINED);
    const script = `
      import { makeJobFolder } from ${JSON.stringify(import.meta.resolve('../src/job-folder.ts'))};
      const confinement = { offline: [], rightless: true, asOther: true, inFolder: false };
      await makeJobFolder(${JSON.stringify(root)}, confinement).catch(({ code }) => console.log(code));`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const { stdout } = await promisify(execFile)('setpriv', [
      '--bounding-set=-chown',
      '--',
      ...node,
    ]);
    expect(stdout).toBe('EPERM\n');
    expect(await readdir(root)).toEqual([]);
  });

  it('is given to nobody who runs something', async () => {
    const uid = stranger() ?? 0;
    children.push(sleeperOf(uid + 1));
    await vi.waitFor(() => expect(livingOf(uid + 1)).toBe(1), 20_000);
    expect(stranger()).toBe(uid + 2);
  });
});

function sleeperOf(uid: number): ChildProcess {
  const who = ['--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups'];
  return spawn('setpriv', [...who, '--', 'sleep', '60'], { stdio: 'ignore' });
}
