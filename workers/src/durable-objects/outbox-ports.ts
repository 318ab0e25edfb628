import { logError } from '../lib/log.ts';
import type { OutboxItem, OutboxPorts } from '../outbox/drain.ts';
import type { JobStore } from './job-store.ts';

/** Lets the outbox of one object be drained. `job` names it in the log. */
export function outboxPorts(
  store: JobStore,
  job: string,
  carryOut: (item: OutboxItem) => Promise<void>,
): OutboxPorts {
  return {
    now: () => Date.now(),
    random: () => Math.random(),
    lease: (now, until) => store.lease(now, until),
    confirm: (item, now) => store.confirm(item, now),
    postpone: (item, dueAt, reason) => store.postpone(item, dueAt, reason),
    park: (item, reason) => store.park(item, reason),
    perform: carryOut,
    report: ({ key }, outcome, reason) => logError(`outbox ${outcome}`, { job, key, reason }),
  };
}
