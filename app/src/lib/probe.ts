import type { Facts } from './source.ts';

/** Frames of a strip, and the size of each in pixels. */
export const FRAMES = 12;
const FRAME_HEIGHT = 80;
const PATIENCE_MS = 8_000;

/**
 * Reads length and size of a video, then its filmstrip, with the browser's own decoder.
 * `onFacts` is called as soon as they are known. Resolves with null for what cannot be read here,
 * which says nothing about the server: it reads more formats than a browser.
 */
export async function probe(
  url: string,
  signal: AbortSignal,
  onFacts: (facts: Facts) => void,
): Promise<string | null> {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  video.playsInline = true;
  try {
    const loaded = once(video, 'loadeddata', signal);
    video.src = url;
    await loaded;
    if (!Number.isFinite(video.duration) || video.videoWidth === 0) return null;
    onFacts({ duration: video.duration, width: video.videoWidth, height: video.videoHeight });
    return await filmstrip(video, signal);
  } catch {
    return null;
  } finally {
    video.removeAttribute('src');
    video.load();
  }
}

async function filmstrip(video: HTMLVideoElement, signal: AbortSignal): Promise<string | null> {
  const width = Math.round((FRAME_HEIGHT * 16) / 9);
  const canvas = document.createElement('canvas');
  canvas.width = width * FRAMES;
  canvas.height = FRAME_HEIGHT;
  const context = canvas.getContext('2d');
  if (context === null) return null;
  for (let n = 0; n < FRAMES; n += 1) {
    const seeked = once(video, 'seeked', signal);
    video.currentTime = ((n + 0.5) / FRAMES) * video.duration;
    await seeked;
    drawCover(context, video, n * width, width);
  }
  return canvas.toDataURL('image/jpeg', 0.7);
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
