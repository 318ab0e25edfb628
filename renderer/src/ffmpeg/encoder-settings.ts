import type { Codec } from '@export-jobs/protocol';
import { isHardware } from './locate.ts';

/** A quality of 1–100 becomes an encoder's own scale, where lower is better: `top - slope × q`. */
interface Scale {
  readonly top: number;
  readonly slope: number;
}

// At the default quality of 60: x264 23, x265 25, SVT-AV1 34, VP9 29. The values for NVENC are
// those of its software twin; they have not been compared by eye or by SSIM on a GPU.
const SCALES: Readonly<Record<string, Scale>> = {
  libx264: { top: 41, slope: 0.3 },
  h264_nvenc: { top: 41, slope: 0.3 },
  libx265: { top: 43, slope: 0.3 },
  hevc_nvenc: { top: 43, slope: 0.3 },
  'libvpx-vp9': { top: 59, slope: 0.5 },
  libsvtav1: { top: 64, slope: 0.5 },
  'libaom-av1': { top: 60, slope: 0.5 },
  av1_nvenc: { top: 48, slope: 0.3 },
};

/** Speed settings at which two cores make 1080p about as fast as it plays, or faster. */
const SPEED: Readonly<Record<string, readonly string[]>> = {
  libx264: ['-preset', 'veryfast'],
  libx265: ['-preset', 'veryfast', '-x265-params', 'log-level=error'],
  'libvpx-vp9': ['-deadline', 'good', '-cpu-used', '4', '-row-mt', '1', '-tile-columns', '2'],
  libsvtav1: ['-preset', '8'],
  'libaom-av1': ['-strict', '-2', '-cpu-used', '8', '-row-mt', '1', '-tile-columns', '2'],
};
const NVENC_SPEED = ['-preset', 'p5', '-tune', 'hq', '-rc', 'vbr'];

/** Pictures a second of 1080p that two cores make: the guess until one has been measured. */
const PRIOR_FPS: Readonly<Record<string, number>> = {
  libx264: 45,
  libx265: 22,
  'libvpx-vp9': 20,
  libsvtav1: 24,
  'libaom-av1': 8,
  gif: 2,
};

/** Arguments that make `encoder` deliver this quality (1–100), with a key frame each `keyEvery`. */
export function videoSettings(encoder: string, quality: number, keyEvery: number): string[] {
  const scale = SCALES[encoder];
  if (!scale) throw new Error(`no settings for the encoder ${encoder}`);
  const level = String(Math.round(Math.max(1, scale.top - scale.slope * quality)));
  const rate = isHardware(encoder) ? ['-cq', level, '-b:v', '0'] : ['-crf', level];
  const speed = SPEED[encoder] ?? NVENC_SPEED;
  const uncapped = /^lib(vpx|aom)/.test(encoder) ? ['-b:v', '0'] : [];
  return ['-c:v', encoder, ...speed, ...rate, ...uncapped, '-g', String(keyEvery)];
}

/** What some players need in order to accept a codec in this family of containers. */
export function containerTag(codec: Codec, container: string): string[] {
  return codec === 'hevc' && container !== 'webm' ? ['-tag:v', 'hvc1'] : [];
}

/** Arguments for the sound of a container: AAC, or Opus in WebM. */
export function audioSettings(encoder: string, channels: number): string[] {
  const kept = Math.min(2, channels);
  const perChannel = encoder === 'libopus' ? 64 : 80;
  return ['-c:a', encoder, '-b:a', `${perChannel * kept}k`, '-ac', String(kept)];
}

/** How many colours a GIF of this quality has; all of them from the default quality on. */
export function gifColours(quality: number): number {
  return Math.min(256, Math.round(32 + 3.75 * quality));
}

/** Pixels of a source that two cores decode in a second. */
const DECODED_PIXELS = 300e6;

/** A first guess of how long an encode takes, s, from the pixels it reads and makes. */
export function guessSeconds(encoder: string, readPixels: number, madePixels: number): number {
  const fps = PRIOR_FPS[encoder] ?? 200;
  return readPixels / DECODED_PIXELS + madePixels / (fps * 1920 * 1080) + 0.3;
}
