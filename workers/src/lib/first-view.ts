import type { ExportJob } from '@export-jobs/protocol';
import type { JobRequest } from '../job/job.ts';
import { transition } from '../job/machine.ts';
import { viewOf } from '../job/project.ts';
import type { Policy } from '../job/policy.ts';

/** What D1 shows of a job from the moment it is asked for: what its object is about to make of it. */
export function firstView(
  made: { id: string; tenant: string; requestHash: string; request: JobRequest },
  policy: Policy,
): ExportJob {
  const init = { type: 'init', ...made, progress: 0, processing: false } as const;
  const given = { now: Date.now(), random: 0, policy, forgot: false };
  const decision = transition(null, init, given);
  if (decision.kind === 'refused') throw new Error(decision.code);
  const usage = { requests: 0, messages: 0, rows: 0 };
  return viewOf(decision.job, { policy, link: () => '', usage });
}
