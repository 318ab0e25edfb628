import { RENDERER_FRAMES, RendererFrame } from '@export-jobs/protocol';
import * as v from 'valibot';
import { MAX_BODY } from '../lib/body.ts';
import type { Call } from '../lib/calls.ts';
import { parseJson } from './sockets.ts';

/** One call as it came by socket, with the number that its answer names. */
export interface FramedCall {
  readonly seq: number;
  readonly call: Call;
}

/** Reads a frame; null when it is none, which a renderer may still say by POST, and be told why. */
export function readFrame(message: string | ArrayBuffer): FramedCall | null {
  if (typeof message !== 'string' || message.length > MAX_BODY) return null;
  const value = parseJson(message);
  const frame = readReport(value) ?? readWord(value);
  return frame && { seq: frame.seq, call: callOf(frame) };
}

/** Nearly all frames are reports, and of each of its forms `variant` would look at all of them. */
function readReport(value: unknown): RendererFrame | null {
  const parsed = v.safeParse(RENDERER_FRAMES.progress, value, { abortEarly: true });
  return parsed.success ? parsed.output : null;
}

function readWord(value: unknown): RendererFrame | null {
  const parsed = v.safeParse(RendererFrame, value);
  return parsed.success ? parsed.output : null;
}

function callOf(frame: RendererFrame): Call {
  switch (frame.type) {
    case 'progress':
      return { name: frame.type, body: frame };
    case 'complete':
      return { name: frame.type, body: frame };
    case 'error':
      return { name: frame.type, body: frame };
  }
}
