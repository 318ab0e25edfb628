// Responsible for which calls go wrong, and how: declarative rules, so that a test, or a process that
// only knows the address (`POST /_script`), can say what the platform shall do to whom.
import * as v from 'valibot';
import { pause } from '../pause.ts';
import {
  CLIENT_CALLS,
  WORKER_CALLS,
  type Answer,
  type ClientCall,
  type WorkerCall,
} from './http.ts';

/**
 * What a rule can be about. `progress` is a `job-done` that only reports progress, so that rules for
 * `job-done` count results; `webhook` is each try of a call that the stand-in itself makes.
 */
const SUBJECTS = [...CLIENT_CALLS, ...WORKER_CALLS, 'progress', 'webhook'] as const;
export type Subject = ClientCall | WorkerCall | 'progress' | 'webhook';

const Count = v.pipe(v.number(), v.integer(), v.minValue(1));

/** What happens to a call, in this order. Nothing of it: the call is carried out as usual. */
const Fault = v.pipe(
  v.strictObject({
    /** Waits first, ms. The call is carried out even if its caller has left by then. */
    delayMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(600_000))),
    /** Answers so, and does not carry the call out. */
    status: v.optional(v.pipe(v.number(), v.integer(), v.minValue(200), v.maxValue(599))),
    /** What `status` carries: text as it is, anything else as JSON. Default: nothing. */
    body: v.optional(v.unknown()),
    headers: v.optional(v.record(v.string(), v.string())),
    /** `call`: cuts the connection, and does not carry it out. `answer`: does, and cuts instead of answering. */
    drop: v.optional(v.picklist(['call', 'answer'])),
    /** Carries it out so often; the caller hears the last answer. */
    times: v.optional(v.pipe(Count, v.maxValue(10))),
  }),
  v.check(
    ({ status, drop, times }) => status === undefined || (drop ?? times) === undefined,
    'a call that is answered by `status` is neither dropped nor carried out',
  ),
  v.check(
    ({ drop, times }) => drop !== 'call' || times === undefined,
    'a call that is dropped is not carried out',
  ),
);
export type Fault = v.InferOutput<typeof Fault>;

const Rule = v.strictObject({
  on: v.union([v.picklist(SUBJECTS), v.array(v.picklist(SUBJECTS))]),
  /** Which of the calls that fit, from 1. Default: each of them. */
  nth: v.optional(v.union([Count, v.array(Count)])),
  /** Only calls of this worker, or about this job. */
  worker: v.optional(v.string()),
  job: v.optional(v.string()),
  fault: Fault,
});

/** The rules of a script, as they are given and as they cross the wire. */
export const Rules = v.array(Rule);
export type Rule = v.InferInput<typeof Rule>;

/** Whom a call is about. */
export interface Parties {
  readonly worker?: string | undefined;
  readonly job?: string | undefined;
}

/** The rules in force, and what each has counted. */
export class Script {
  #rules: { readonly rule: v.InferOutput<typeof Rule>; seen: number }[] = [];

  /**
   * Puts these rules in the place of all earlier ones; counts begin anew.
   * @throws when a rule is not valid.
   */
  set(rules: readonly Rule[]): void {
    this.#rules = v.parse(Rules, rules).map((rule) => ({ rule, seen: 0 }));
  }

  /** Counts a call for every rule that it fits. @returns what the first one whose turn it is says. */
  next(subject: Subject, { worker, job }: Parties): Fault | undefined {
    let fault: Fault | undefined;
    for (const entry of this.#rules) {
      const { rule } = entry;
      const fits =
        [rule.on].flat().includes(subject) &&
        (rule.worker === undefined || rule.worker === worker) &&
        (rule.job === undefined || rule.job === job);
      if (!fits) continue;
      entry.seen += 1;
      if (rule.nth === undefined || [rule.nth].flat().includes(entry.seen)) fault ??= rule.fault;
    }
    return fault;
  }
}

/**
 * Does to a call what the script says.
 * @param closing ends a pause early.
 * @returns the answer that the caller hears; undefined when it hears none.
 */
export async function carryOut(
  fault: Fault = {},
  closing: AbortSignal,
  call: () => Promise<Answer>,
): Promise<Answer | undefined> {
  const { delayMs = 0, status, body, headers = {}, drop, times = 1 } = fault;
  if (delayMs > 0) await pause(delayMs, closing);
  if (status !== undefined) return { status, body, headers };
  if (drop === 'call') return undefined;
  let answer: Answer | undefined;
  for (let n = 0; n < times; n += 1) answer = await call();
  return drop === 'answer' ? undefined : answer;
}
