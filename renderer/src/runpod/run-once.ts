import type { Handler, JobResult } from './handler.ts';
import { log as processLog, type Log } from './log.ts';

/** Tries a handler on one input, without any queue. What it reports is logged; chunks become the output. */
export async function runOnce(
  handler: Handler,
  input: unknown,
  {
    log = processLog,
    signal = new AbortController().signal,
  }: { log?: Log; signal?: AbortSignal } = {},
): Promise<JobResult> {
  const progress = (value: unknown) => log('info', 'progress', { value });
  const context = { signal, workerId: 'local', gpuType: undefined, log, progress };
  const returned = await handler({ id: 'local', input }, context);
  if (!(Symbol.asyncIterator in returned)) return returned;
  const chunks: unknown[] = [];
  for await (const chunk of returned) chunks.push(chunk);
  return { output: chunks };
}
