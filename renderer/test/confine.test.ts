import { once } from 'node:events';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { RenderFailure } from '../src/failure.ts';
import { confined, PROBE_BOUNDS, UNCONFINED, type Confinement } from '../src/ffmpeg/confine.ts';
import { runTool } from '../src/ffmpeg/process.ts';
import { superviseEncode } from '../src/ffmpeg/supervise.ts';
import { makeJobFolder } from '../src/job-folder.ts';
import { ffmpeg, Studio } from './media.ts';

const confinement: Confinement = ffmpeg?.tools.confinement ?? UNCONFINED;
const isAdministrator = process.getuid?.() === 0;
let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(async () => {
  await studio.close();
});

/** What a program could do that a hostile file has taken over. */
async function run(held: Confinement, folder: string, ...command: string[]) {
  const lines: string[] = [];
  const how = await confined(held, command, folder, PROBE_BOUNDS);
  const end = await runTool(...how, {
    timeoutMs: 20_000,
    cwd: folder,
    onLine: (line) => lines.push(line),
  });
  return { ...end, lines };
}
const node = (script: string) => [process.execPath, '-e', script];

describe.skipIf(!ffmpeg)('a tool that was taken over (skipped where there is no ffmpeg)', () => {
  it.skipIf(confinement.offline.length === 0)('reaches no network', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const dial = node(
      `require('net').connect(${port}, '127.0.0.1').on('close', (failed) => process.exit(failed ? 7 : 0)).on('error', () => {})`,
    );
    const folder = await makeJobFolder(studio.root, confinement);
    // Node itself reserves more memory than ffprobe may.
    const [program, args] = await confined(confinement, dial, folder, { fileBytes: 0 });
    expect(await runTool(program, args, { timeoutMs: 20_000, cwd: folder })).toMatchObject({
      code: 7,
    });
    expect(connections).toBe(0);
    const [free, freeArgs] = await confined(UNCONFINED, dial, folder, { fileBytes: 0 });
    await runTool(free, freeArgs, { timeoutMs: 20_000, cwd: folder });
    expect(connections).toBe(1);
    server.close();
  });

  it.skipIf(!isAdministrator || !confinement.asOther)(
    'reads nothing of ours or of another job, and signals nobody',
    async () => {
      const folder = await makeJobFolder(studio.root, confinement);
      const other = await makeJobFolder(studio.root, confinement);
      const secret = join(await mkdtemp(join(studio.root, 'ours-')), 'secret');
      await writeFile(secret, 'secret', { mode: 0o600 });
      await writeFile(join(other, 'input'), 'secret');
      await writeFile(join(folder, 'input'), 'its own');
      expect((await run(confinement, folder, 'cat', 'input')).lines).toEqual(['its own']);
      for (const file of [secret, join(other, 'input'), `/proc/${process.pid}/environ`]) {
        expect(await run(confinement, folder, 'cat', file)).toMatchObject({ code: 1, lines: [] });
      }
      const kill = await run(confinement, folder, 'kill', '-0', String(process.pid));
      expect(kill.code).not.toBe(0);
      const gain = await run(confinement, folder, 'grep', 'NoNewPrivs', '/proc/self/status');
      expect(gain.lines.join()).toMatch(/1$/);
    },
  );

  it.skipIf(!isAdministrator || !confinement.asOther)(
    'has no capability, even where whoever started us gave us some to keep',
    async () => {
      const folder = await makeJobFolder(studio.root, confinement);
      const status = ['grep', '-E', '^Cap(Inh|Prm|Eff|Amb):', '/proc/self/status'];
      const how = (await confined(confinement, status, folder, PROBE_BOUNDS)).flat();
      const given = ['--inh-caps=+kill', '--ambient-caps=+kill', '--', ...how];
      const lines: string[] = [];
      const onLine = (line: string) => lines.push(line.replaceAll(/\s+/g, ' '));
      await runTool('setpriv', given, { timeoutMs: 20_000, onLine });
      expect(lines).toEqual(
        ['Inh', 'Prm', 'Eff', 'Amb'].map((set) => `Cap${set}: ${'0'.repeat(16)}`),
      );
    },
  );

  it.skipIf(!confinement.inFolder)('writes nothing outside its folder', async () => {
    const folder = await makeJobFolder(studio.root, confinement);
    const open = await mkdtemp(join(tmpdir(), 'open-'));
    await chmod(open, 0o777);
    for (const at of [open, '/tmp', '/var/tmp', '/dev/shm']) {
      const { code } = await run(confinement, folder, 'touch', join(at, 'foreign'));
      expect(code, at).not.toBe(0);
    }
    const free = { ...confinement, inFolder: false };
    expect(await run(free, folder, 'touch', join(open, 'foreign'))).toMatchObject({ code: 0 });
    const naming = 'echo name >/proc/self/comm; echo >/dev/null; mkdir a; : >a/b; rm -r a';
    expect(await run(confinement, folder, '/bin/sh', '-ec', naming)).toMatchObject({ code: 0 });
    await rm(open, { recursive: true });
  });

  it.skipIf(!isAdministrator || !confinement.rightless)(
    'has no right of ours even where it cannot be another user, and does not see our environment',
    async () => {
      const held = { ...confinement, asOther: false, inFolder: false };
      const folder = await makeJobFolder(studio.root, held);
      const { lines } = await run(held, folder, 'grep', '^Cap', '/proc/self/status');
      expect(lines).toHaveLength(5);
      for (const line of lines) expect(line).toMatch(/:\t0{16}$/);
      expect((await run(held, folder, 'id', '-u')).lines).toEqual(['0']);
      const ours = `/proc/${process.pid}/environ`;
      expect(await run(held, folder, 'cat', ours)).toMatchObject({ code: 1, lines: [] });
    },
  );

  it.skipIf(!isAdministrator || !confinement.asOther)(
    'runs no more processes than a stranger may',
    async () => {
      const folder = await makeJobFolder(studio.root, confinement);
      const { lines } = await run(confinement, folder, 'cat', '/proc/self/limits');
      expect(lines.join('\n')).toMatch(/^Max processes +1024 +1024 /m);
    },
  );

  it('sees no secret in its environment', async () => {
    vi.stubEnv('RUNPOD_AI_API_KEY', 'rp-secret');
    vi.stubEnv('https_proxy', 'http://127.0.0.1:9');
    const folder = await makeJobFolder(studio.root, confinement);
    const { lines } = await run(confinement, folder, 'env');
    vi.unstubAllEnvs();
    expect(lines).toContain(`TMPDIR=${folder}`);
    expect(lines.join('\n')).not.toMatch(/secret|proxy|RUNPOD|HOME/i);
  });

  it.each([
    ['confined', confinement],
    ['where nothing else can be taken from it', UNCONFINED],
  ])('writes no file that is too large, and leaves no core (%s)', async (_, held) => {
    const folder = await makeJobFolder(studio.root, confinement);
    const write = ['dd', 'if=/dev/zero', 'of=file', 'bs=1024', 'count=1000'];
    const [program, args] = await confined(held, write, folder, { fileBytes: 100_000 });
    const { code } = await runTool(program, args, { timeoutMs: 20_000, cwd: folder });
    expect(code).not.toBe(0);
    expect((await stat(join(folder, 'file'))).size).toBeLessThanOrEqual(100_352);
    expect((await run(held, folder, '/bin/sh', '-c', 'ulimit -c')).lines).toEqual(['0']);
  });

  it.skipIf(process.platform !== 'linux')('gets no more memory than it may', async () => {
    const folder = await makeJobFolder(studio.root, confinement);
    const hoard = ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=3G', 'count=1'];
    expect((await run(confinement, folder, ...hoard)).code).not.toBe(0);
    const adjusted = await run(confinement, folder, 'cat', '/proc/self/oom_score_adj');
    expect(adjusted.lines).toEqual(['1000']);
  });

  it('is ended when it says too much', async () => {
    const end = await runTool('yes', [], { timeoutMs: 20_000, maxOutput: 100_000 });
    expect(end).toMatchObject({ flooded: true, timedOut: false, signal: 'SIGKILL' });
  });
});

describe.skipIf(!ffmpeg)('an encode that grows (skipped where there is no ffmpeg)', () => {
  const ENDLESS = '-f lavfi -i testsrc2=s=640x360:r=25 -c:v libx264 -preset ultrafast';

  async function encode(bounds: { fileBytes?: number; memoryBytes?: number }) {
    const folder = await makeJobFolder(studio.root, confinement);
    const error: unknown = await superviseEncode({
      tools: { ffmpeg: ffmpeg?.tools.ffmpeg ?? '', confinement },
      args: [...ENDLESS.split(' '), '-y', 'file:output.mp4'],
      folder,
      signal: AbortSignal.timeout(30_000),
      ...bounds,
    }).catch((reason: unknown) => reason);
    const { size } = await stat(join(folder, 'output.mp4')).catch(() => ({ size: 0 }));
    return { code: error instanceof RenderFailure ? error.code : error, size };
  }

  it('beyond the size that its output can have ends', async () => {
    const { code, size } = await encode({ fileBytes: 200_000 });
    expect(code).toBe('encoder_failed');
    expect(size).toBeLessThanOrEqual(200_192);
  });

  it.skipIf(process.platform !== 'linux')('beyond its memory ends as such', async () => {
    expect((await encode({ memoryBytes: 10_000_000 })).code).toBe('out_of_memory');
  });
});
