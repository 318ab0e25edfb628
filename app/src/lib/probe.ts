import type { Source } from './source.ts';
import { FRAMES } from './strip.ts';

/** Pixels. */
const FRAME_HEIGHT = 80;
const PATIENCE_MS = 8_000;

type Found = Partial<Pick<Source, 'facts' | 'strip'>>;

/**
 * Reads length and size of a video, then its filmstrip, with the browser's own decoder. `onFound` is
 * told each thing as soon as it is known, the strip again with each frame. Resolves at the end, also
 * for what cannot be read here: that says nothing about the server, which reads more formats.
 */
export async function probe(
  url: string,
  signal: AbortSignal,
  onFound: (found: Found) => void,
): Promise<void> {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  video.playsInline = true;
  try {
    const loaded = once(video, 'loadeddata', signal);
    video.src = url;
    await loaded;
    if (!Number.isFinite(video.duration) || video.videoWidth === 0) return;
    const { duration, videoWidth: width, videoHeight: height } = video;
    onFound({ facts: { duration, width, height } });
    await filmstrip(video, signal, (strip) => onFound({ strip }));
  } catch {
    // Not readable here, or given up: what was found until then stays.
  } finally {
    video.removeAttribute('src');
    video.load();
  }
}

async function filmstrip(
  video: HTMLVideoElement,
  signal: AbortSignal,
  onFrame: (strip: string) => void,
): Promise<void> {
  const width = Math.round((FRAME_HEIGHT * 16) / 9);
  const canvas = document.createElement('canvas');
  canvas.width = width * FRAMES;
  canvas.height = FRAME_HEIGHT;
  const context = canvas.getContext('2d');
  if (context === null) return;
  for (let n = 0; n < FRAMES; n += 1) {
    const seeked = once(video, 'seeked', signal);
    video.currentTime = ((n + 0.5) / FRAMES) * video.duration;
    await seeked;
    // The newest frame stands in for those to come, so that a strip is never half empty.
    for (let cell = n; cell < FRAMES; cell += 1) drawCover(context, video, cell * width, width);
    onFrame(canvas.toDataURL('image/jpeg', 0.7));
  }
}

/** Fills one frame of the strip, cutting what does not fit, like `object-fit: cover`. */
function drawCover(
  context: CanvasRenderingContext2D,
  video: HTMLVideoElement,
  x: number,
  width: number,
): void {
  const scale = Math.max(width / video.videoWidth, FRAME_HEIGHT / video.videoHeight);
  const [w, h] = [width / scale, FRAME_HEIGHT / scale];
  const [sx, sy] = [(video.videoWidth - w) / 2, (video.videoHeight - h) / 2];
  context.drawImage(video, sx, sy, w, h, x, 0, width, FRAME_HEIGHT);
}

function once(video: HTMLVideoElement, name: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  video.addEventListener(name, () => resolve(), { once: true });
  video.addEventListener('error', () => reject(new Error('not readable')), { once: true });
  stop.addEventListener('abort', () => reject(new Error('given up')), { once: true });
  return promise;
}
