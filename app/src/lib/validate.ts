import { ExportApiError } from '@export-jobs/client';
import { ExportOptions, GIF_LIMITS, MAX_SIDE } from '@export-jobs/protocol';
import { resultSeconds, toOptions, type Settings } from './settings.ts';
import type { Facts } from './source.ts';

/** Where an error is shown. */
export type Field =
  | 'container'
  | 'codec'
  | 'size'
  | 'width'
  | 'height'
  | 'fit'
  | 'fps'
  | 'quality'
  | 'trim'
  | 'mute';
export type FieldErrors = Partial<Record<Field, string>>;

/** What to say at a field whose value the protocol does not take. */
const ADVICE: Record<Field, string> = {
  container: 'Choose one of the formats.',
  codec: 'This format cannot carry this codec. Choose another.',
  size: `A GIF is at most ${GIF_LIMITS.side} pixels wide and high.`,
  width: `An even number from 2 to ${MAX_SIDE}.`,
  height: `An even number from 2 to ${MAX_SIDE}.`,
  fit: 'Choose how the picture fills the frame.',
  fps: 'From 1 to 60 frames a second; a GIF has at most 20.',
  quality: 'From 1 to 100.',
  trim: 'The end must come after the start.',
  mute: 'Choose whether there is sound.',
};

/** Every field that would be refused, by the same schema that the server uses. */
export function validate(settings: Settings, facts: Facts | null): FieldErrors {
  const errors: FieldErrors = {};
  const result = ExportOptions['~standard'].validate(toOptions(settings, facts));
  if (!(result instanceof Promise) && result.issues !== undefined) {
    for (const issue of result.issues) {
      const [first] = issue.path ?? [];
      const field = fieldOf(typeof first === 'object' ? first.key : first);
      errors[field] ??= ADVICE[field];
    }
  }
  if (settings.size === 'custom' && settings.width === null && settings.height === null) {
    errors.width ??= 'Give a width, a height, or both.';
  }
  return { ...trimErrors(settings, facts), ...errors };
}

function trimErrors(settings: Settings, facts: Facts | null): FieldErrors {
  const length = resultSeconds(settings, facts);
  if (facts !== null && settings.start >= facts.duration) {
    return { trim: 'The start lies behind the end of the video.' };
  }
  if (settings.container === 'gif' && length !== null && length > GIF_LIMITS.seconds + 0.05) {
    return { trim: `A GIF is at most ${GIF_LIMITS.seconds} seconds long. Trim the video.` };
  }
  return {};
}

/** What the server refused, at the fields it points to. */
export function serverErrors(error: Error | null): FieldErrors {
  const at: FieldErrors = {};
  if (!(error instanceof ExportApiError)) return at;
  for (const { pointer, detail } of error.errors) {
    const [, group, name] = pointer.split('/');
    if (group === 'options') at[fieldOf(name)] ??= detail;
  }
  return at;
}

const isField = (name: PropertyKey | undefined): name is Field =>
  typeof name === 'string' && Object.hasOwn(ADVICE, name);

// What concerns no one field concerns the size: the one rule of that kind is a GIF's.
const fieldOf = (name: PropertyKey | undefined): Field => (isField(name) ? name : 'size');
