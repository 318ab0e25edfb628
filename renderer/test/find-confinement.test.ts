import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
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
      expect(await inspectWhereGpuNeeds('[ "$(id -u)" = 0 ]')).toEqual(UNCONFINED);
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
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is not believed when it only starts the tool', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'liars-'));
    await chmod(folder, 0o755);
    const script = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n';
    for (const name of ['setpriv', 'unshare']) {
      await writeFile(join(folder, name), script, { mode: 0o755 });
    }
    vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
    expect(await findConfinement('true')).toEqual(UNCONFINED);
    await rm(folder, { recursive: true });
  });
});
