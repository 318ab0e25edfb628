import { access, chmod, constants } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { temporaryRoot } from '../job-folder.ts';
import { confined, UNCONFINED, type Confinement } from './confine.ts';
import { findConfinement, twice } from './find-confinement.ts';
import { runTool } from './process.ts';

/** Where the two programs are. */
export interface Tools {
  readonly ffmpeg: string;
  readonly ffprobe: string;
}

/** The same, and how they are held down while they read what a stranger sent. */
export interface ConfinedTools extends Tools {
  readonly confinement: Confinement;
}

/** Each format that an export needs, with the encoders that make it, best first. */
const CANDIDATES = {
  h264: ['h264_nvenc', 'libx264'],
  hevc: ['hevc_nvenc', 'libx265'],
  vp9: ['libvpx-vp9'],
  av1: ['av1_nvenc', 'libsvtav1', 'libaom-av1'],
  gif: ['gif'],
  aac: ['aac'],
  opus: ['libopus'],
} as const satisfies Record<string, readonly string[]>;

/** Brings a high dynamic range to the standard one. */
export const TONE_MAP =
  'zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,' +
  'zscale=t=bt709:m=bt709:r=tv';

export type Format = keyof typeof CANDIDATES;
/** The encoders that were seen to work, best first: at most the hardware ones and one in software. */
export type Encoders = Readonly<Record<Format, readonly string[]>>;

export interface FfmpegReport {
  readonly tools: ConfinedTools;
  readonly from: 'FFMPEG_PATH' | 'PATH' | 'npm';
  /** As ffmpeg prints it, such as `5.1.9-0+deb12u1`. */
  readonly version: string;
  readonly encoders: Encoders;
  /** The formats that nothing here can make. */
  readonly missing: readonly Format[];
  /** Whether HDR sources can be brought to the standard range. */
  readonly canToneMap: boolean;
}

/** Whether an encoder needs a GPU, so that it can fail where another would not. */
export function isHardware(encoder: string): boolean {
  return encoder.endsWith('_nvenc');
}

/**
 * Finds ffmpeg and ffprobe: `FFMPEG_PATH` (with `FFPROBE_PATH`, or ffprobe beside it), else PATH,
 * else the optional npm packages.
 * @throws saying where it looked and what to do.
 */
export async function locateFfmpeg(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<{ readonly tools: Tools; readonly from: FfmpegReport['from'] }> {
  if (env['FFMPEG_PATH']) {
    const ffmpeg = env['FFMPEG_PATH'];
    const ffprobe = env['FFPROBE_PATH'] ?? join(dirname(ffmpeg), 'ffprobe');
    if ((await isExecutable(ffmpeg)) && (await isExecutable(ffprobe))) {
      return { tools: { ffmpeg, ffprobe }, from: 'FFMPEG_PATH' };
    }
    throw new Error(`FFMPEG_PATH is set, but ${ffmpeg} or ${ffprobe} cannot be run`);
  }
  const ffmpeg = await findInPath('ffmpeg', env['PATH']);
  const ffprobe = env['FFPROBE_PATH'] ?? (await findInPath('ffprobe', env['PATH']));
  if (ffmpeg && ffprobe) return { tools: { ffmpeg, ffprobe }, from: 'PATH' };
  const packaged = {
    ffmpeg: await findInPackage('ffmpeg'),
    ffprobe: await findInPackage('ffprobe'),
  };
  if (packaged.ffmpeg && packaged.ffprobe) {
    return { tools: { ffmpeg: packaged.ffmpeg, ffprobe: packaged.ffprobe }, from: 'npm' };
  }
  throw new Error(
    'ffmpeg and ffprobe were not found: not in FFMPEG_PATH, PATH, nor as npm packages. ' +
      'Install them (apt install ffmpeg, brew install ffmpeg) or set FFMPEG_PATH.',
  );
}

const reports = new Map<string, Promise<FfmpegReport>>();

/**
 * Says what this machine's ffmpeg can really do, by encoding a few frames with every candidate:
 * that an encoder is listed means nothing. Takes about a second, then it is remembered.
 * @throws when ffmpeg is not found or does not run.
 */
export async function inspectFfmpeg(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<FfmpegReport> {
  const { tools, from } = await locateFfmpeg(env);
  const known = reports.get(tools.ffmpeg);
  if (known) return await known;
  const report = inspect(tools, from, temporaryRoot(env));
  reports.set(tools.ffmpeg, report);
  report.catch(() => reports.delete(tools.ffmpeg));
  return await report;
}

async function inspect(
  paths: Tools,
  from: FfmpegReport['from'],
  root: string,
): Promise<FfmpegReport> {
  const version = await versionOf(paths.ffmpeg);
  await versionOf(paths.ffprobe);
  const tools = { ...paths, confinement: await usableConfinement(paths, root) };
  const [h264, hevc, vp9, av1, gif, aac, opus, canToneMap] = await Promise.all([
    working(tools, CANDIDATES.h264),
    working(tools, CANDIDATES.hevc),
    working(tools, CANDIDATES.vp9),
    working(tools, CANDIDATES.av1),
    working(tools, CANDIDATES.gif),
    working(tools, CANDIDATES.aac, SOUND),
    working(tools, CANDIDATES.opus, SOUND),
    succeeds(tools, [...PICTURE, '-vf', `${HDR_PICTURE},${TONE_MAP}`]),
  ]);
  const encoders: Encoders = { h264, hevc, vp9, av1, gif, aac, opus };
  const formats: Format[] = ['h264', 'hevc', 'vp9', 'av1', 'gif', 'aac', 'opus'];
  const missing = formats.filter((format) => encoders[format].length === 0);
  return { tools, from, version, encoders, missing, canToneMap };
}

/**
 * How tools can be held down here; not so far that the GPU cannot be reached any more, if there is one. What is given up
 * for it is tried in the order of what it costs.
 */
async function usableConfinement(paths: Tools, root: string): Promise<Confinement> {
  const strictest = await findConfinement(paths.ffprobe, root);
  const reachesGpu = async (kind: Confinement) =>
    await succeeds({ ...paths, confinement: kind }, [...PICTURE, '-c:v', CANDIDATES.h264[0]]);
  const [held, free] = await Promise.all([reachesGpu(strictest), reachesGpu(UNCONFINED)]);
  if (held || !free) return strictest;
  const anywhere = { ...strictest, inFolder: false };
  const ladder = [
    strictest,
    anywhere,
    { ...anywhere, offline: [] },
    { ...anywhere, asOther: false },
    { ...UNCONFINED, offline: strictest.offline },
  ];
  for (const weaker of ladder) {
    if (await twice(() => reachesGpu(weaker))) return weaker;
  }
  return UNCONFINED;
}

async function versionOf(path: string): Promise<string> {
  let first = '';
  const onLine = (line: string) => (first ||= line);
  const { code } = await runTool(path, ['-version'], { timeoutMs: 10_000, onLine });
  const version = /version (\S+)/.exec(first)?.[1];
  if (code !== 0 || version === undefined) throw new Error(`${path} does not run`);
  return version;
}

// NVENC refuses pictures much smaller than this.
const PICTURE = ['-f', 'lavfi', '-i', 'color=black:s=256x256:r=30:d=0.2'];
const HDR_PICTURE =
  'format=yuv420p10,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc';
const SOUND = ['-f', 'lavfi', '-t', '0.1', '-i', 'anullsrc=r=48000:cl=stereo'];

/** Tries the candidates in order, up to the first that works in software. */
async function working(
  tools: ConfinedTools,
  candidates: readonly string[],
  input = PICTURE,
): Promise<string[]> {
  const found: string[] = [];
  for (const encoder of candidates) {
    const stream = input === SOUND ? '-c:a' : '-c:v';
    const works = await succeeds(tools, [...input, '-strict', '-2', stream, encoder]);
    if (works) found.push(encoder);
    if (works && !isHardware(encoder)) break;
  }
  return found;
}

async function succeeds({ ffmpeg, confinement }: ConfinedTools, args: readonly string[]) {
  const quiet = ['-hide_banner', '-nostdin', '-v', 'error'];
  const command = [ffmpeg, ...quiet, ...args, '-f', 'null', '-'];
  const run = await confined(confinement, command, undefined, { fileBytes: 0 });
  const { code } = await runTool(...run, { timeoutMs: 15_000 });
  return code === 0;
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function findInPath(name: string, path = ''): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, name);
    if (folder && (await isExecutable(candidate))) return candidate;
  }
  return undefined;
}

/** The packages' own entry points throw on a machine they have no program for, so they are not run. */
async function findInPackage(name: 'ffmpeg' | 'ffprobe'): Promise<string | undefined> {
  const packageName = `@${name}-installer/${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
    const program = join(dirname(manifest), name);
    if (!(await isExecutable(program))) await chmod(program, 0o755);
    return program;
  } catch {
    return undefined;
  }
}
