import { MAX_SIDE, type ExportOptions } from '@export-jobs/protocol';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The picture to make, and the filters that make it of pictures of the source's size. */
export interface Framing extends Size {
  readonly filters: readonly string[];
}

/**
 * Decides the size of the output. Both sides asked: exactly that, the picture is fitted in as CSS
 * `object-fit` would. One side or none: the source's shape, never larger than the source. All sides
 * are even and at most `limit`.
 */
export function frameSize(
  options: Pick<ExportOptions, 'width' | 'height' | 'fit'>,
  source: Size,
  limit: number = MAX_SIDE,
): Framing {
  const { width, height, fit } = options;
  if (width !== undefined && height !== undefined) {
    return { width, height, filters: fill({ width, height }, source, fit) };
  }
  const scale = Math.min(
    1,
    limit / Math.max(source.width, source.height),
    width === undefined ? 1 : width / source.width,
    height === undefined ? 1 : height / source.height,
  );
  const size = scaled(source, scale);
  return { ...size, filters: [resize(size)] };
}

function fill(canvas: Size, source: Size, fit: ExportOptions['fit']): string[] {
  const across = canvas.width / source.width;
  const down = canvas.height / source.height;
  switch (fit) {
    case 'stretch':
      return [resize(canvas)];
    case 'cover': {
      const whole = scaled(source, Math.max(across, down));
      const covering = {
        width: Math.max(whole.width, canvas.width),
        height: Math.max(whole.height, canvas.height),
      };
      return [resize(covering), `crop=${canvas.width}:${canvas.height}`];
    }
    case 'contain': {
      const whole = scaled(source, Math.min(across, down));
      const inner = {
        width: Math.min(whole.width, canvas.width),
        height: Math.min(whole.height, canvas.height),
      };
      const pad = `pad=${canvas.width}:${canvas.height}:(ow-iw)/2:(oh-ih)/2:black`;
      return [resize(inner), pad];
    }
  }
}

function scaled({ width, height }: Size, factor: number): Size {
  const even = (side: number) => Math.max(2, Math.round((side * factor) / 2) * 2);
  return { width: even(width), height: even(height) };
}

// The size is given in square pixels, so scaling to it undoes any other pixel shape.
function resize({ width, height }: Size): string {
  return `scale=${width}:${height}:flags=bicubic,setsar=1`;
}
