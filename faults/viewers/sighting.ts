// What viewers see, by whatever transport, in one shape.
import * as v from 'valibot';

/** One look at a job, as a viewer was given it. */
export interface Sighting {
  /** Epoch ms. */
  readonly at: number;
  readonly jobId: string;
  readonly seq: number;
  readonly status: string;
  readonly progress: number;
  /** Of the whole job. */
  readonly overall_progress: number;
  readonly attempt: number;
}

const numbers = {
  seq: v.number(),
  progress: v.number(),
  overall_progress: v.number(),
  attempt: v.number(),
};
const Report = v.looseObject({ type: v.literal('progress'), job_id: v.string(), ...numbers });
const WithJob = v.looseObject({
  job: v.looseObject({ id: v.string(), status: v.string(), ...numbers }),
});

/** What a message or an answer says of a job; null when it says nothing of one. */
export function sightingOf(told: unknown, at: number): Sighting | null {
  const report = v.safeParse(Report, told);
  if (report.success) {
    const { job_id: jobId, seq, progress, overall_progress, attempt } = report.output;
    return { at, jobId, status: 'processing', seq, progress, overall_progress, attempt };
  }
  const whole = v.safeParse(WithJob, told);
  if (!whole.success) return null;
  const { id: jobId, status, seq, progress, overall_progress, attempt } = whole.output.job;
  return { at, jobId, status, seq, progress, overall_progress, attempt };
}

/** Whether a job that is seen so never changes again. */
export function isOver({ status }: { readonly status: string }): boolean {
  return status === 'complete' || status === 'error' || status === 'cancelled';
}
