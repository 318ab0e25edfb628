// Responsible for deciding the whole encode beforehand, frame for frame. Pure: no process, no file.
import {
  codecOf,
  GIF_LIMITS,
  MAX_SIDE,
  type Codec,
  type Container,
  type ExportOptions,
} from '@export-jobs/protocol';
import { RenderFailure } from '../failure.ts';
import { audioSettings, containerTag, gifColours, videoSettings } from './encoder-settings.ts';
import { frameSize, type Framing } from './frame-size.ts';
import { TONE_MAP, type Encoders } from './locate.ts';
import type { Probe } from './probe.ts';
import { exactRate, MAX_RATE, rate, type Rate } from './rate.ts';
import { INPUT_NAME, UNTRUSTED_INPUT } from './untrusted-input.ts';

/** What the machine can do, from its `FfmpegReport`. */
export interface Abilities {
  readonly encoders: Encoders;
  readonly canToneMap: boolean;
}

/** An encode that is decided. Its result is accepted only if it is exactly this. */
export interface Plan {
  /** Arguments for ffmpeg, one run after the other in the job's folder; the source is `input`. */
  readonly passes: readonly (readonly string[])[];
  /** The file that it makes there. */
  readonly outputName: string;
  readonly container: Container;
  /** As ffprobe names it. */
  readonly codec: Codec | 'gif';
  readonly encoder: string;
  readonly hasAudio: boolean;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly durationMs: number;
  /** Larger than the uncompressed pictures and sound an output never is, bytes. */
  readonly maxBytes: number;
}

/** The part of the source to export, s, on the output's frame grid. */
interface Cut {
  readonly start: number;
  readonly duration: number;
  readonly frames: number;
}

/** How far a trim may end behind the source's end, s: players round the lengths they show. */
const TRIM_SLACK = 0.1;
/** Containers with an index, in which seeking is exact. */
const SEEKABLE = /\b(mov|matroska)\b/;
/** SVT-AV1 refuses smaller pictures. */
const SVT_MIN_SIDE = 64;

/**
 * Plans an export.
 * @throws RenderFailure `options_invalid` when the options do not fit this source,
 *   `encoder_unavailable` when nothing here makes the format.
 */
export function planExport(options: ExportOptions, probe: Probe, abilities: Abilities): Plan {
  const isGif = options.container === 'gif';
  const framing = frameSize(options, probe.video, isGif ? GIF_LIMITS.side : MAX_SIDE);
  const fps = outputRate(options, probe);
  const cut = cutOf(options, probe, fps);
  if (isGif && cut.duration > GIF_LIMITS.seconds + TRIM_SLACK) {
    throw new RenderFailure(
      'options_invalid',
      `a GIF holds at most ${GIF_LIMITS.seconds} s and this would be ${cut.duration.toFixed(1)} s`,
    );
  }
  const codec = codecOf(options) ?? 'gif';
  const encoder = pickEncoder(codec, framing, abilities.encoders);
  const sound = soundOf(options, probe, cut, abilities.encoders);
  const outputName = `output.${options.container}`;
  const filters = pictureFilters(probe, fps, cut, framing, abilities);
  const outputs =
    codec === 'gif'
      ? gifOutputs(`[0:${probe.video.index}]${filters}`, options.quality, outputName)
      : [videoOutput(options, codec, encoder, filters, fps, sound, probe, outputName)];
  return {
    passes: outputs.map((output) => [...inputArgs(probe, cut), ...output]),
    outputName,
    container: options.container,
    codec,
    encoder,
    hasAudio: sound.length > 0,
    width: framing.width,
    height: framing.height,
    fps: fps.value,
    frames: cut.frames,
    durationMs: Math.round((cut.frames / fps.value) * 1000),
    maxBytes: sizeLimit(framing, cut),
  };
}

/** Noise is stored with no more than this of each picture and second, however high the quality. */
function sizeLimit({ width, height }: Framing, { frames, duration }: Cut): number {
  const ofPicture = 2 * width * height + 64 * 1024;
  const ofSecond = 64 * 1024;
  return frames * ofPicture + Math.ceil(duration * ofSecond) + 1024 * 1024;
}

function outputRate(options: ExportOptions, probe: Probe): Rate {
  const limit = options.container === 'gif' ? GIF_LIMITS.fps : MAX_RATE;
  const wanted = options.fps === undefined ? probe.video.rate : exactRate(options.fps);
  return wanted.value > limit ? rate(limit) : wanted;
}

function cutOf({ trim }: ExportOptions, probe: Probe, fps: Rate): Cut {
  const length = probe.duration;
  const from = trim?.start ?? 0;
  const to = trim?.end ?? length;
  if (from >= length || to > length + TRIM_SLACK) {
    throw new RenderFailure(
      'options_invalid',
      `the trim ${from}–${to} s reaches beyond the source's end at ${length.toFixed(3)} s`,
    );
  }
  // Down to the frame that is on screen at that moment; the tiny part forgives rounded times.
  const last = Math.max(0, Math.ceil(length * fps.value - 0.01) - 1);
  const start = Math.min(last, Math.floor(from * fps.value + 0.01)) / fps.value;
  const frames = Math.max(1, Math.round((Math.min(to, length) - from) * fps.value));
  return { start, duration: frames / fps.value, frames };
}

function pickEncoder(codec: Codec | 'gif', size: Framing, encoders: Encoders): string {
  const isTiny = Math.min(size.width, size.height) < SVT_MIN_SIDE;
  const encoder = encoders[codec].find((name) => !(isTiny && name === 'libsvtav1'));
  if (encoder === undefined) {
    throw new RenderFailure('encoder_unavailable', `there is no working encoder for ${codec} here`);
  }
  return encoder;
}

/** Arguments for the sound, or none when the output is silent. */
function soundOf(options: ExportOptions, probe: Probe, cut: Cut, encoders: Encoders): string[] {
  if (options.mute || options.container === 'gif' || !probe.audio) return [];
  const format = options.container === 'webm' ? 'opus' : 'aac';
  const encoder = encoders[format][0];
  if (encoder === undefined) {
    throw new RenderFailure('encoder_unavailable', `there is no working encoder for ${format}`);
  }
  const from = seeks(probe, cut) || cut.start === 0 ? '' : `atrim=start=${cut.start},`;
  const shift = from ? `asetpts=PTS-${cut.start}/TB,` : '';
  const filter = `${from}${shift}aresample=48000:async=1:first_pts=0,atrim=end=${cut.duration}`;
  return ['-af', filter, ...audioSettings(encoder, probe.audio.channels)];
}

function seeks({ format, video }: Probe, { start }: Cut): boolean {
  // Behind the last picture there is none to find: it must be reached from before.
  return start > 0 && start <= video.lastFrameAt && SEEKABLE.test(format);
}

function inputArgs(probe: Probe, cut: Cut): string[] {
  // A millisecond early, because containers round the time of the frame that is meant.
  const seek = seeks(probe, cut) ? ['-ss', Math.max(0, cut.start - 0.001).toFixed(6)] : [];
  return [...seek, ...UNTRUSTED_INPUT, '-i', `file:${INPUT_NAME}`];
}

/**
 * The pictures: constant rate, square pixels, even sides, exactly the planned number of frames.
 * The last frame is held where the sound goes on, or where it is meant to stay for long.
 */
function pictureFilters(
  probe: Probe,
  fps: Rate,
  cut: Cut,
  framing: Framing,
  abilities: Abilities,
): string {
  const { video } = probe;
  const cutAway = cut.start > 0 && !seeks(probe, cut);
  // Where only the sound goes on, the last picture is the first.
  const start = Math.min(cut.start, video.lastFrameAt);
  // The frame that is on screen at the start began up to one frame before it.
  const early = Math.max(0, start - 1 / video.rate.value - 0.001);
  const rateFilter = `fps=${fps.num}/${fps.den}:start_time=0`;
  const fewer = fps.value <= video.rate.value;
  const hold = Math.max(0, cut.start + cut.duration - video.lastFrameAt) + 0.5;
  return [
    ...(cutAway ? [`trim=start=${early}`, `setpts=PTS-${start}/TB`] : []),
    ...(video.interlaced ? ['yadif=deint=interlaced'] : []),
    ...(fewer ? [rateFilter] : []),
    ...(video.hdr && abilities.canToneMap ? [TONE_MAP] : []),
    ...framing.filters,
    ...(fewer ? [] : [rateFilter]),
    `tpad=stop_mode=clone:stop_duration=${hold.toFixed(6)}`,
    `trim=end_frame=${cut.frames}`,
  ].join(',');
}

function videoOutput(
  options: ExportOptions,
  codec: Codec,
  encoder: string,
  filters: string,
  fps: Rate,
  sound: readonly string[],
  probe: Probe,
  outputName: string,
): string[] {
  const keyEvery = Math.max(1, Math.round(fps.value * 2));
  const isMp4Like = options.container !== 'webm';
  return [
    '-map',
    `0:${probe.video.index}`,
    ...(sound.length > 0 && probe.audio ? ['-map', `0:${probe.audio.index}`] : ['-an']),
    ...words('-map_metadata -1 -map_chapters -1 -sn -dn'),
    // Last, because a filter before it may have chosen another pixel format.
    '-vf',
    `${filters},format=yuv420p`,
    ...videoSettings(encoder, options.quality, keyEvery),
    ...containerTag(codec, options.container),
    ...sound,
    ...(isMp4Like ? words('-movflags +faststart') : []),
    ...words(`-max_muxing_queue_size 4096 -y file:${outputName}`),
  ];
}

/**
 * A GIF's palette is known only when every frame has been seen. Two runs, because one would hold
 * all frames in memory meanwhile. The first has an output that goes nowhere, whose frames can be
 * counted as they are read: a palette alone shows no progress.
 */
function gifOutputs(filters: string, quality: number, outputName: string): string[][] {
  const look =
    `${filters},split[count][look];` +
    `[look]palettegen=max_colors=${gifColours(quality)}:stats_mode=diff[palette]`;
  const draw =
    `${filters}[draw];` +
    '[draw][1:0]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle[gif]';
  return [
    [
      '-filter_complex',
      look,
      ...words('-map [count] -f null - -map [palette] -update 1 -y file:palette.png'),
    ],
    [
      ...words('-i file:palette.png -filter_complex'),
      draw,
      ...words(`-map [gif] -map_metadata -1 -c:v gif -y file:${outputName}`),
    ],
  ];
}

function words(text: string): string[] {
  return text.split(' ');
}
