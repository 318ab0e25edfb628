import type { Policy } from '../job/policy.ts';
import { logError } from '../lib/log.ts';
import type { Outcome, OutboxItem, OutboxPorts } from '../outbox/drain.ts';
import type { JobStore } from './job-store.ts';

/** Lets the outbox of one object be drained. `job` names it in the log. */
export function outboxPorts(
  store: JobStore,
  job: string,
  policy: Policy,
  carryOut: (item: OutboxItem) => Promise<Outcome>,
): OutboxPorts {
  return {
    now: () => Date.now(),
    random: () => Math.random(),
    lease: (now, until) => store.lease(policy, now, until),
    confirm: (item, now) => store.confirm(item, policy, now),
    postpone: ({ key }, dueAt, reason) => store.defer(key, dueAt, reason, policy, Date.now()),
    park: ({ key }, reason) => store.defer(key, null, reason, policy, Date.now()),
    perform: carryOut,
    report: ({ key }, outcome, reason) => logError(`outbox ${outcome}`, { job, key, reason }),
  };
}
