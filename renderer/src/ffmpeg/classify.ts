import type { FailureCode } from '@export-jobs/protocol';

/** How an encoder ended, when nobody ended it on purpose. */
export interface EncoderEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: readonly string[];
}

// In this order: an earlier line is the cause of a later one.
const SIGNS: readonly (readonly [RegExp, FailureCode])[] = [
  [/No space left on device/i, 'disk_full'],
  [/Cannot allocate memory|malloc of size|out of memory/i, 'out_of_memory'],
  [
    /Cannot load (libcuda|libnvidia|nvcuda)|No capable devices|OpenEncodeSessionEx failed/i,
    'encoder_unavailable',
  ],
  [/does not support the required nvenc|CUDA_ERROR|No NVENC capable/i, 'encoder_unavailable'],
  [/Unknown encoder|Encoder .* not found/i, 'encoder_unavailable'],
  [/Decoder .* not found|not on whitelist|Unsupported codec/i, 'input_unsupported'],
  [/moov atom not found|partial file/i, 'input_damaged'],
  [/file:input: Invalid data found/i, 'input_invalid'],
];

/**
 * Says why an encoder failed, by what it wrote: its exit code is nearly always 1.
 * A kill that was not ours is taken for the kernel's, out of memory.
 */
export function classifyEnd({ signal, stderr }: EncoderEnd): FailureCode {
  if (signal === 'SIGKILL') return 'out_of_memory';
  const text = stderr.join('\n');
  return SIGNS.find(([sign]) => sign.test(text))?.[1] ?? 'encoder_failed';
}
