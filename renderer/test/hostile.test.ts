import { execFile } from 'node:child_process';
import { copyFile, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RenderFailure } from '../src/failure.ts';
import { UNCONFINED, type Confinement } from '../src/ffmpeg/confine.ts';
import { probeInput } from '../src/ffmpeg/probe.ts';
import { renderExport } from '../src/ffmpeg/run.ts';
import { UNTRUSTED_INPUT } from '../src/ffmpeg/untrusted-input.ts';
import { makeJobFolder } from '../src/job-folder.ts';
import { aliasTo, box, packedMovie, REFUSED, TRICKS, uint32, type Prey } from './hostile-files.ts';
import { ffmpeg, PICTURE_AND_TONE, Studio } from './media.ts';

const SIBLING = 'sibling.mp4';
const LONG_AGO = new Date('2001-01-01');
let studio: Studio;
let film: string;
let server: Server;
let connections = 0;
let prey: Prey;

beforeAll(async () => {
  studio = await Studio.open();
  if (!ffmpeg) return;
  film = await studio.make('film.mp4', PICTURE_AND_TONE(1));
  const file = join(studio.root, 'prey.mp4');
  await copyFile(film, file);
  server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  prey = { file, sibling: SIBLING, server: `http://127.0.0.1:${port}` };
}, 60_000);
afterAll(async () => {
  server?.close();
  await studio.close();
});

/** A job's folder with this source, and a film beside it that is none of its business. */
async function folderWith(source: Buffer | string, confinement = UNCONFINED): Promise<string> {
  const folder = await makeJobFolder(studio.root, confinement);
  await writeFile(join(folder, 'input'), source);
  await copyFile(film, join(folder, SIBLING));
  return folder;
}

/**
 * What was reached meanwhile: a file that is read has its time of access moved, since that is before the time
 * of its change.
 */
async function reached(folder: string, work: () => Promise<unknown>) {
  const files = [prey.file, join(folder, SIBLING)];
  for (const file of files) await utimes(file, LONG_AGO, new Date());
  const before = connections;
  const result = await work().catch((error: unknown) => error);
  const times = await Promise.all(files.map(async (file) => (await stat(file)).atime.getTime()));
  return {
    result,
    connections: connections - before,
    files: times.filter((time) => time !== LONG_AGO.getTime()).length,
  };
}

/** Everything that a job does with its source. */
async function exportIn(folder: string, confinement: Confinement) {
  if (!ffmpeg) throw new Error('there is no ffmpeg here');
  const confinedFfmpeg = { ...ffmpeg, tools: { ...ffmpeg.tools, confinement } };
  const probe = await probeInput(confinedFfmpeg.tools, folder);
  return await renderExport({
    ffmpeg: confinedFfmpeg,
    options: v.parse(ExportOptions, {}),
    probe,
    folder,
    signal: AbortSignal.timeout(120_000),
  });
}

async function codeOf(work: Promise<unknown>) {
  const error: unknown = await work.catch((reason: unknown) => reason);
  return error instanceof RenderFailure ? error.code : error;
}

/** ffprobe as somebody would run it who knows of no danger. */
async function runNaively(args: readonly string[], cwd: string) {
  const run = promisify(execFile)(ffmpeg?.tools.ffprobe ?? '', ['-v', 'error', ...args], {
    cwd,
    timeout: 20_000,
  });
  return (await run).stderr;
}

const WAYS: [string, Confinement | undefined][] = [
  ['by its lists alone', UNCONFINED],
  ['confined', ffmpeg?.tools.confinement],
];

describe.skipIf(!ffmpeg)('a hostile source (skipped where there is no ffmpeg)', () => {
  describe.each(WAYS)('%s', (_, confinement = UNCONFINED) => {
    it.each(TRICKS)('$name is refused, and reaches nothing', async ({ make }) => {
      const folder = await folderWith(make(prey), confinement);
      const seen = await reached(folder, () => exportIn(folder, confinement));
      expect(seen).toMatchObject({ connections: 0, files: 0 });
      expect(seen.result).toBeInstanceOf(RenderFailure);
      if (seen.result instanceof RenderFailure) expect(REFUSED).toContain(seen.result.code);
      expect((await readdir(folder)).toSorted()).toEqual(['input', SIBLING]);
    });
  });

  it.each(TRICKS.filter(({ demuxer }) => demuxer !== undefined))(
    '$name would reach something, were it let',
    async ({ make, demuxer = '' }) => {
      const folder = await folderWith(make(prey));
      const protocols = 'file,http,tcp,crypto,subfile,concat,data';
      const lenient = ['-protocol_whitelist', protocols, '-f', demuxer];
      const safe = demuxer === 'concat' ? ['-safe', '0'] : [];
      const seen = await reached(folder, () => runNaively([...lenient, ...safe, 'input'], folder));
      expect(seen.connections + seen.files).toBeGreaterThan(0);
    },
  );

  it('no protocol but that of files is spoken, whatever is to be opened', async () => {
    const folder = await folderWith('');
    const address = `${prey.server}/film.mp4`;
    const bare = await reached(folder, () => runNaively([address], folder));
    expect(bare.connections).toBeGreaterThan(0);
    const held = await reached(folder, () => runNaively([...UNTRUSTED_INPUT, address], folder));
    expect(held.connections).toBe(0);
    expect(String(held.result)).toContain('not on whitelist');
  });

  it('a picture that turns out too large while it is read is not decoded', async () => {
    const folder = await folderWith(await hugePicture(8193));
    const decode = ['-count_frames', '-show_streams', 'file:input'];
    const held = await reached(folder, () => runNaively([...UNTRUSTED_INPUT, ...decode], folder));
    expect(String(held.result)).toContain('exceeds specified max pixel count');
  });

  it('a movie that says its pictures are in another file gets none of them', async () => {
    const folder = await folderWith(await movieElsewhere(prey.file));
    const lenient = ['-enable_drefs', '1', '-use_absolute_path', '1', '-show_packets'];
    const naive = await reached(folder, () => runNaively([...lenient, 'input'], folder));
    expect(naive.files).toBe(1);
    const seen = await reached(folder, () => exportIn(folder, UNCONFINED));
    expect(seen).toMatchObject({ connections: 0, files: 0 });
    expect(seen.result).toBeInstanceOf(RenderFailure);
  });

  it('subtitles, fonts and attachments are neither obeyed nor unpacked nor passed on', async () => {
    const subtitles = join(studio.root, 'subtitles.ass');
    await writeFile(
      subtitles,
      '[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n' +
        `Style: Default,${prey.file},20\n[Events]\n` +
        'Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n' +
        `Dialogue: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,{\\fn${prey.file}}x\n`,
    );
    const source = await studio.make(
      'attached.mkv',
      `-i ${film} -i ${subtitles} -map 0 -map 1 -c copy -attach ${subtitles} ` +
        '-metadata:s:t mimetype=application/x-truetype-font -metadata:s:t filename=../../../tmp/x.ttf',
    );
    const folder = await folderWith(await readFile(source));
    const seen = await reached(folder, () => exportIn(folder, UNCONFINED));
    expect(seen).toMatchObject({ connections: 0, files: 0, result: { output: { width: 320 } } });
    expect((await readdir(folder)).toSorted()).toEqual(['input', 'output.mp4', SIBLING]);
    const output = await readFile(join(folder, 'output.mp4'));
    expect(output.includes(prey.file)).toBe(false);
  });

  it.each([
    ['pictures of 60,000 × 60,000', () => hugePicture(60_000)],
    ['pictures just too large', () => hugePicture(8193)],
    [
      'an index that unpacks to 2 GB',
      async () => packedMovie(0x7fff_ff00, Buffer.alloc(1_000_000)),
    ],
    ['an index that unpacks to less than it says', async () => packedMovie(900e6, Buffer.alloc(9))],
    ['150 streams', () => manyStreams()],
    ['two pictures two days apart', () => farApart()],
    ['labels of 10 MB', () => longLabels()],
    ['an index of two thousand million entries', () => longTable()],
  ])('with %s is refused before anything is decoded', async (_, make) => {
    const folder = await folderWith(await make());
    const startedAt = performance.now();
    const code = await codeOf(exportIn(folder, UNCONFINED));
    expect(['input_unsupported', 'input_invalid', 'input_damaged', 'input_no_video']).toContain(
      code,
    );
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect((await readdir(folder)).toSorted()).toEqual(['input', SIBLING]);
  });
});

/** The film, whose pictures and sound are said to be in another file. */
async function movieElsewhere(file: string): Promise<Buffer> {
  const source = await studio.make('moov-last.mov', `-i ${film} -c copy -movflags 0`);
  const bytes = await readFile(source);
  const at = bytes.lastIndexOf('moov') - 4;
  const movie = bytes.subarray(at, at + bytes.readUInt32BE(at));
  const alias = box('dref', uint32(0, 1), aliasTo(file));
  return Buffer.concat([bytes.subarray(0, at), withReplaced(movie, 'dref', alias)]);
}

/** The box with every one of a type inside it replaced; sizes on the way are put right. */
function withReplaced(bytes: Buffer, type: string, by: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 8; at < bytes.length;) {
    const size = bytes.readUInt32BE(at);
    const inner = bytes.subarray(at, at + size);
    const name = inner.toString('latin1', 4, 8);
    if (name === type) parts.push(by);
    else if (/^(trak|mdia|minf|dinf)$/.test(name)) parts.push(withReplaced(inner, type, by));
    else parts.push(inner);
    at += size;
  }
  return box(bytes.toString('latin1', 4, 8), ...parts);
}

/** A PNG in a movie, both of which say that it is this wide and high. */
async function hugePicture(side: number): Promise<Buffer> {
  const args = '-f lavfi -i color=s=64x48:r=25:d=0.2 -c:v png';
  const bytes = Buffer.from(await readFile(await studio.make('png.mov', args)));
  const says = (width: number, height: number) => uint32(width, height);
  for (let at = bytes.indexOf('IHDR'); at >= 0; at = bytes.indexOf('IHDR', at + 4)) {
    says(side, side).copy(bytes, at + 4);
  }
  const entry = bytes.indexOf('png ', bytes.indexOf('stsd'));
  bytes.writeUInt16BE(side, entry + 28);
  bytes.writeUInt16BE(side, entry + 30);
  return bytes;
}

async function manyStreams(): Promise<Buffer> {
  const maps = Array.from({ length: 150 }, () => '-map 0:v').join(' ');
  return await readFile(await studio.make('many.mov', `-i ${film} ${maps} -c copy`));
}

async function farApart(): Promise<Buffer> {
  const args =
    '-f lavfi -i testsrc2=s=64x64:r=1:d=2 -vf setpts=N*172800/TB -vsync passthrough ' +
    '-c:v libx264 -bf 0';
  return await readFile(await studio.make('far-apart.mkv', args));
}

/** A Matroska file whose title is very long. */
async function longLabels(): Promise<Buffer> {
  const bytes = await readFile(await studio.make('live.mkv', `-i ${film} -c copy -live 1`));
  const cluster = bytes.indexOf(Buffer.from('1f43b675', 'hex'));
  const element = (id: string, ...inside: (Buffer | string)[]) => {
    const body = Buffer.concat(inside.map((part) => Buffer.from(part)));
    const size = Buffer.concat([Buffer.from('01000000', 'hex'), uint32(body.length)]);
    return Buffer.concat([Buffer.from(id, 'hex'), size, body]);
  };
  const label = element('67c8', element('45a3', 'TITLE'), element('4487', 'x'.repeat(10e6)));
  const tags = element('1254c367', element('7373', element('63c0'), label));
  return Buffer.concat([bytes.subarray(0, cluster), tags, bytes.subarray(cluster)]);
}

/** The film, whose table of sizes says that it is very long. */
async function longTable(): Promise<Buffer> {
  const bytes = Buffer.from(await readFile(film));
  const at = bytes.indexOf('stsz');
  uint32(0x7fff_ffff).copy(bytes, at + 12);
  return bytes;
}
