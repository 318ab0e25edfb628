import type { EventOf } from '../../job/events.ts';
import { isEnded } from '../../job/job.ts';
import type { Job } from '../../job/job.ts';
import { outputFilename } from '../../job/project.ts';
import { describeOutput, discardOutputs, inspectOutput } from '../../lib/outputs.ts';
import { outputKey, outputPrefix } from '../../lib/r2.ts';

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
 * Throws away what the attempts of an ended job have left, but its output.
 * @throws when R2 cannot be reached.
 */
export async function discardLeftovers(bucket: R2Bucket, job: Job): Promise<void> {
  if (!isEnded(job)) return;
  const keep = job.state === 'complete' ? job.output.key : null;
  await discardOutputs(bucket, outputPrefix(job.tenant, job.id), keep);
}
