import type { EventOf } from '../../job/events.ts';
import { isEnded } from '../../job/job.ts';
import type { Job } from '../../job/job.ts';
import { outputFilename } from '../../job/project.ts';
import { describeOutput, inspectOutput } from '../../lib/outputs.ts';
import { outputKey } from '../../lib/r2.ts';

/** R2 deletes at most so many at once. */
const MAX_KEYS = 1000;

/**
 * Looks for the finished output of an attempt whose renderer was lost before it could say so.
 * @returns null when the job needs none any more.
 * @throws when R2 cannot be reached.
 */
export async function findLostOutput(
  bucket: R2Bucket,
  job: Job,
  by: { attempt: number; epoch: number },
): Promise<EventOf<'adopt' | 'nothing_found'> | null> {
  if (!job.request || isEnded(job)) return null;
  const { container } = job.request.options;
  const key = outputKey({ tenant: job.tenant, jobId: job.id, ...by }, container);
  const found = await inspectOutput(bucket, key);
  if (!found.ok) return { type: 'nothing_found', by };
  const output = describeOutput(key, outputFilename(job), container, found.manifest);
  return { type: 'adopt', by, output };
}

/**
 * Throws away what the attempts of an ended job have left, but its output. Where they can have left
 * something follows from how many there were, so nothing needs to be listed.
 * @throws when R2 cannot be reached.
 */
export async function discardLeftovers(bucket: R2Bucket, job: Job): Promise<void> {
  if (!isEnded(job) || !job.request) return;
  const { tenant, id: jobId, request } = job;
  const keep = job.state === 'complete' ? job.output.key : null;
  const keys = numbers(job.attempt).flatMap((attempt) =>
    numbers(job.epochs).map((epoch) =>
      outputKey({ tenant, jobId, attempt, epoch }, request.options.container),
    ),
  );
  const leftovers = keys.filter((key) => key !== keep);
  for (let i = 0; i < leftovers.length; i += MAX_KEYS) {
    await bucket.delete(leftovers.slice(i, i + MAX_KEYS));
  }
}

/** 1 … n */
function numbers(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1);
}
