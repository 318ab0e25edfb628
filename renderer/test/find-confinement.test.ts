import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UNCONFINED, type Confinement } from '../src/ffmpeg/confine.ts';
import { findConfinement } from '../src/ffmpeg/find-confinement.ts';
import { inspectFfmpeg } from '../src/ffmpeg/locate.ts';
import { ffmpeg } from './media.ts';

const confinement: Confinement = ffmpeg?.tools.confinement ?? UNCONFINED;
const isAdministrator = process.getuid?.() === 0;

describe.skipIf(!ffmpeg || confinement.offline.length === 0)('a GPU', () => {
  /** Finds tools that reach a GPU only where a command of the shell succeeds. */
  async function inspectWhereGpuNeeds(needs: string) {
    const folder = await mkdtemp(join(tmpdir(), 'fake-'));
    const script = `#!/bin/sh
case "$*" in
  *-version*) echo 'ffmpeg version 9.9' ;;
  *h264_nvenc*) ${needs} ;;
esac`;
    for (const name of ['ffmpeg', 'ffprobe']) {
      await writeFile(join(folder, name), script, { mode: 0o755 });
    }
    await chmod(folder, 0o755);
    const report = await inspectFfmpeg({ FFMPEG_PATH: join(folder, 'ffmpeg') });
    await rm(folder, { recursive: true });
    expect(report.encoders.h264).toContain('h264_nvenc');
    return report.tools.confinement;
  }

  it('that a tool without a network cannot reach is worth more than that', async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const dial =
      `require('net').connect(${port}, '127.0.0.1')` +
      `.on('connect', () => process.exit(0)).on('error', () => process.exit(1))`;
    const found = await inspectWhereGpuNeeds(`'${process.execPath}' -e "${dial}"`);
    server.close();
    expect(found).toEqual({ ...confinement, inFolder: false, offline: [] });
  });

  it.skipIf(!isAdministrator || !confinement.asOther)(
    'that another user cannot reach is worth more than all',
    async () => {
      const found = await inspectWhereGpuNeeds('[ "$(id -u)" = 0 ]');
      expect(found).toEqual({ ...confinement, inFolder: false, asOther: false });
    },
  );

  it.skipIf(!isAdministrator || !confinement.rightless)(
    'that only an administrator with all rights can reach still leaves no network',
    async () => {
      const found = await inspectWhereGpuNeeds('grep -q "NoNewPrivs:.0" /proc/self/status');
      const isByFilter = confinement.offline[0] === 'setpriv';
      expect(found).toEqual({ ...UNCONFINED, offline: isByFilter ? [] : confinement.offline });
    },
  );

  it.skipIf(!isAdministrator || !confinement.asOther)(
    'that was out of reach for a moment costs nothing',
    async () => {
      const open = await mkdtemp(join(tmpdir(), 'open-'));
      await chmod(open, 0o777);
      const first = (name: string) => `mkdir ${open}/${name} 2>/dev/null && exit 1`;
      // Where nothing can be kept in its folder, the first two steps are one.
      const moments = (confinement.inFolder ? ['a', 'b'] : ['a', 'b', 'c']).map(first).join('; ');
      const needs = `[ "$(id -u)" = 0 ] && exit 0; ${moments}; exit 0`;
      expect(await inspectWhereGpuNeeds(needs)).toEqual(confinement);
      await rm(open, { recursive: true });
    },
  );

  it.skipIf(!confinement.inFolder)(
    'that needs files elsewhere costs no more than just that',
    async () => {
      const open = await mkdtemp(join(tmpdir(), 'open-'));
      await chmod(open, 0o777);
      const found = await inspectWhereGpuNeeds(`: >${open}/$$`);
      await rm(open, { recursive: true });
      expect(found).toEqual({ ...confinement, inFolder: false });
    },
  );
});

describe('what this machine says that it can take from a tool', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'trials-'));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(root, { recursive: true });
  });

  it('is not believed when it only starts the tool', async () => {
    const script = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n';
    for (const name of ['setpriv', 'unshare']) {
      await writeFile(join(root, name), script, { mode: 0o755 });
    }
    vi.stubEnv('PATH', `${root}:${process.env['PATH']}`);
    expect(await findConfinement('true', root)).toEqual(UNCONFINED);
  });

  it('is tried again when it has failed once', async () => {
    const moody = join(root, 'moody');
    const script = `#!/bin/sh\nmkdir '${root}/once' 2>/dev/null && exit 1; exec true\n`;
    await writeFile(moody, script, { mode: 0o755 });
    await chmod(root, 0o777);
    expect(await findConfinement(moody, root)).toEqual(await findConfinement('true', root));
    expect(await readdir(root)).toEqual(['moody', 'once']);
  });

  it('is tried where the jobs are, and nothing where there is no room for it', async () => {
    vi.resetModules();
    const fresh = await import('../src/ffmpeg/find-confinement.ts');
    const found = await fresh.findConfinement('true', join(root, 'nowhere'));
    expect(found).toMatchObject({ rightless: false, asOther: false, inFolder: false });
    expect(found.offline).not.toContain('--seccomp-filter');
    const later = await fresh.findConfinement('true', root);
    expect(nameless(later)).toEqual(nameless(await findConfinement('true', root)));
  });

  /** Each keeps a filter of its own. */
  const nameless = ({ offline, ...more }: Confinement) => ({
    ...more,
    offline: offline.filter((word) => !word.startsWith('/proc/')),
  });

  /** What is there by the word of the system itself, so that a fault of ours cannot pass for its poverty. */
  const has = (program: string, ...args: string[]) => {
    const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
    return status === 0 ? stdout : '';
  };
  const isLinuxAdministrator = isAdministrator && process.platform === 'linux';

  it.skipIf(!isLinuxAdministrator || !has('setpriv', '--version'))(
    'is another user without rights, and no network, for an administrator of a Linux with setpriv',
    async () => {
      const found = await findConfinement('true', root);
      expect(found).toMatchObject({ rightless: true, asOther: true });
      expect(found.offline).not.toEqual([]);
    },
  );

  const hasLandlock =
    has('setpriv', '--help').includes('landlock') &&
    /\blandlock\b/.test(has('cat', '/sys/kernel/security/lsm'));
  it.skipIf(!hasLandlock)('is what lies elsewhere, where there is Landlock', async () => {
    expect(await findConfinement('true', root)).toMatchObject({ inFolder: true });
  });
});
