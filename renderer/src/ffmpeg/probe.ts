// Responsible for knowing exactly what a source holds before a frame is encoded: which streams,
// how long, how fast. It counts packets, because what containers declare is not reliable.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { RenderFailure } from '../failure.ts';
import { confined, PROBE_BOUNDS } from './confine.ts';
import type { ConfinedTools } from './locate.ts';
import { runTool, type ToolEnd, type ToolOptions } from './process.ts';
import { Packets } from './packets.ts';
import { parseRate, steadyRate, type Rate } from './rate.ts';
import { INPUT_NAME, MAX_PIXELS, UNTRUSTED_INPUT } from './untrusted-input.ts';

/** A longer source is refused, s: two pictures may be years apart, and all between them would be rendered. */
const MAX_SECONDS = 24 * 3600;
/** What ffprobe says of that many seconds of usual film at most, bytes. */
const MAX_PACKET_LINES = 1e9;

/** What is known of a source. All times in seconds from its start. */
export interface Probe {
  /** ffprobe's name of the container, such as `mov,mp4,m4a,3gp,3g2,mj2`. */
  readonly format: string;
  /** End of the last picture or sound, whichever is later. */
  readonly duration: number;
  readonly video: {
    readonly index: number;
    readonly codec: string;
    /** As it is meant to be seen: square pixels, upright. */
    readonly width: number;
    readonly height: number;
    readonly frames: number;
    readonly rate: Rate;
    /** When the last frame begins. */
    readonly lastFrameAt: number;
    readonly interlaced: boolean;
    readonly hdr: boolean;
  };
  readonly audio: { readonly index: number; readonly channels: number } | null;
}

const Numeric = v.pipe(v.union([v.string(), v.number()]), v.transform(Number), v.finite());
const Stream = v.object({
  index: v.number(),
  codec_type: v.optional(v.string()),
  codec_name: v.optional(v.string()),
  width: v.optional(v.number(), 0),
  height: v.optional(v.number(), 0),
  channels: v.optional(v.number(), 0),
  sample_aspect_ratio: v.optional(v.string()),
  field_order: v.optional(v.string()),
  color_transfer: v.optional(v.string()),
  r_frame_rate: v.optional(v.string()),
  avg_frame_rate: v.optional(v.string()),
  duration: v.optional(Numeric),
  disposition: v.optional(v.object({ attached_pic: v.number(), default: v.number() })),
  tags: v.optional(v.object({ rotate: v.optional(Numeric) })),
  side_data_list: v.optional(v.array(v.object({ rotation: v.optional(Numeric) }))),
});
type Stream = v.InferOutput<typeof Stream>;
const Description = v.object({
  streams: v.array(Stream),
  format: v.object({
    format_name: v.string(),
    start_time: v.optional(Numeric),
    duration: v.optional(Numeric),
  }),
});
type Description = v.InferOutput<typeof Description>;

/**
 * Reads the file named `input` in a folder.
 * @throws RenderFailure `input_*` when it cannot be exported.
 */
export async function probeInput(
  tools: ConfinedTools,
  folder: string,
  signal?: AbortSignal,
): Promise<Probe> {
  const { size } = await stat(join(folder, INPUT_NAME));
  if (size === 0) throw new RenderFailure('input_empty', 'the source has no bytes');
  const { description, estimated } = await describe(tools, folder, signal);
  const video = pickVideo(description.streams);
  const audio = pickAudio(description.streams);
  const { packets, partial } = await scan(tools, folder, video, audio, signal);
  const start = description.format.start_time ?? packets.start;
  refuseDamaged(description, estimated, packets, start, video, partial);
  const pictures = packets.of(video.index);
  const [width, height] = seenSize(video);
  const duration = packets.end([video.index, ...(audio ? [audio.index] : [])]) - start;
  if (duration > MAX_SECONDS)
    throw new RenderFailure('input_unsupported', 'the source is too long');
  return {
    format: description.format.format_name,
    duration,
    video: {
      index: video.index,
      codec: video.codec_name ?? '',
      width,
      height,
      frames: pictures.count,
      rate: steadyRate(parseRate(video.r_frame_rate), parseRate(video.avg_frame_rate), pictures),
      lastFrameAt: pictures.lastStart - start,
      interlaced: ['tt', 'bb', 'tb', 'bt'].includes(video.field_order ?? ''),
      hdr: ['smpte2084', 'arib-std-b67'].includes(video.color_transfer ?? ''),
    },
    audio: audio && { index: audio.index, channels: audio.channels },
  };
}

async function describe(tools: ConfinedTools, folder: string, signal?: AbortSignal) {
  const lines: string[] = [];
  const end = await ffprobe(
    tools,
    folder,
    ['-v', 'warning', '-of', 'json', '-show_format', '-show_streams'],
    { onLine: (line) => lines.push(line) },
    signal,
  );
  refuseUnreadable(end);
  const description = v.parse(Description, JSON.parse(lines.join('\n')));
  return { description, estimated: end.stderr.some((line) => line.includes('from bitrate')) };
}

async function scan(
  tools: ConfinedTools,
  folder: string,
  video: Stream,
  audio: Stream | null,
  signal?: AbortSignal,
) {
  const frameTime = 1 / (parseRate(video.avg_frame_rate)?.value ?? 25);
  const packets = new Packets(new Map([[video.index, frameTime]]));
  const entries = 'packet=stream_index,pts_time,dts_time,duration_time,flags';
  const end = await ffprobe(
    tools,
    folder,
    ['-v', 'error', '-of', 'compact=p=0', '-show_entries', entries],
    { onLine: (line) => packets.add(line), maxOutput: MAX_PACKET_LINES },
    signal,
  );
  if (end.timedOut || end.flooded) {
    throw new RenderFailure('input_unsupported', 'the source takes too long to read');
  }
  if (packets.of(video.index).count === 0) {
    throw new RenderFailure('input_damaged', 'the source has a video stream without pictures');
  }
  const partial = end.stderr.some((line) => line.includes('partial file'));
  return { packets, partial, audio };
}

async function ffprobe(
  tools: ConfinedTools,
  folder: string,
  args: readonly string[],
  reading: Pick<ToolOptions, 'onLine' | 'maxOutput'>,
  signal?: AbortSignal,
): Promise<ToolEnd> {
  const command = [tools.ffprobe, ...args, ...UNTRUSTED_INPUT, `file:${INPUT_NAME}`];
  const run = await confined(tools.confinement, command, folder, PROBE_BOUNDS);
  return await runTool(...run, {
    timeoutMs: 120_000,
    cwd: folder,
    ...reading,
    ...(signal ? { signal } : {}),
  });
}

function refuseUnreadable({ code, stderr, timedOut, flooded }: ToolEnd): void {
  if (code === 0) return;
  const text = stderr.join('\n');
  const unsupported = (why: string) => new RenderFailure('input_unsupported', why);
  if (timedOut || flooded) throw unsupported('the source takes too long to open');
  if (/not on whitelist|Not detecting m3u8/i.test(text)) {
    throw unsupported('the source is of a kind that is not read');
  }
  if (/exceeds max_streams|Cannot allocate memory/.test(text)) {
    throw unsupported('the source needs more than there is to be opened');
  }
  // The file began as an MP4 and its index, which comes last, is not there: it was cut off.
  if (/moov atom not found/.test(text)) {
    throw new RenderFailure('input_damaged', 'the source has no index; it was cut off');
  }
  throw new RenderFailure('input_invalid', `the source cannot be read: ${stderr.at(-1) ?? ''}`);
}

function pickVideo(streams: readonly Stream[]): Stream {
  const videos = streams.filter((s) => s.codec_type === 'video' && !s.disposition?.attached_pic);
  const video = videos.find((s) => s.disposition?.default) ?? videos[0];
  if (!video) throw new RenderFailure('input_no_video', 'the source has no video stream');
  if (!isDecodable(video)) {
    throw new RenderFailure('input_unsupported', 'the video of the source cannot be decoded');
  }
  if (video.width < 1 || video.height < 1) {
    throw new RenderFailure('input_damaged', 'the video of the source has no size');
  }
  if (video.width * video.height > MAX_PIXELS) {
    throw new RenderFailure('input_unsupported', 'the pictures of the source are too large');
  }
  return video;
}

function pickAudio(streams: readonly Stream[]): Stream | null {
  const audios = streams.filter(
    (s) => s.codec_type === 'audio' && isDecodable(s) && s.channels > 0,
  );
  return audios.find((s) => s.disposition?.default) ?? audios[0] ?? null;
}

function isDecodable({ codec_name }: Stream): boolean {
  return codec_name !== undefined && codec_name !== 'none' && codec_name !== 'unknown';
}

/** A source that holds clearly less than it declares was cut off. */
function refuseDamaged(
  { format }: Description,
  estimated: boolean,
  packets: Packets,
  start: number,
  video: Stream,
  partial: boolean,
): void {
  const isShort = (held: number, declared = 0) => held < declared * 0.98 - 0.1;
  const all = packets.end() - start;
  const pictures = packets.end([video.index]) - packets.of(video.index).start;
  if (
    partial ||
    (!estimated && isShort(all, format.duration)) ||
    isShort(pictures, video.duration)
  ) {
    throw new RenderFailure(
      'input_damaged',
      `the source declares ${(format.duration ?? 0).toFixed(2)} s and holds ${all.toFixed(2)} s`,
    );
  }
}

function seenSize(video: Stream): [width: number, height: number] {
  const [across = 1, down = 1] = (video.sample_aspect_ratio ?? '1:1').split(':').map(Number);
  const ratio = across > 0 && down > 0 ? across / down : 1;
  const matrix = video.side_data_list?.find((data) => data.rotation !== undefined);
  const rotation = matrix?.rotation ?? video.tags?.rotate ?? 0;
  const size: [number, number] = [Math.max(1, Math.round(video.width * ratio)), video.height];
  return Math.abs(Math.round(rotation / 90)) % 2 === 1 ? [size[1], size[0]] : size;
}
