// Responsible for what the stand-in of the export server answers wrongly, by rules of the same form as
// those of the stand-in for RunPod.
import { PROBLEMS, type ProblemCode } from '@export-jobs/protocol';
import * as v from 'valibot';

/** `channel` is the dial of the socket. */
export const CALLS_OF_SERVER = [
  'claim',
  'progress',
  'complete',
  'error',
  'source',
  'output',
  'begin-output',
  'ask-parts',
  'finish-output',
  'channel',
] as const;
/** The store need not be the server. */
export const CALLS_OF_STORE = ['part'] as const;
export const SERVER_CALLS = [...CALLS_OF_SERVER, ...CALLS_OF_STORE] as const;
export type ServerCall = (typeof SERVER_CALLS)[number];

const Count = v.pipe(v.number(), v.integer(), v.minValue(1));

const ServerFault = v.strictObject({
  /** Waits first, ms; a caller that leaves meanwhile is not served. */
  delayMs: v.optional(v.pipe(Count, v.maxValue(60_000))),
  /** Refuses with this problem, and does nothing. */
  problem: v.optional(
    v.custom<ProblemCode>((code) => typeof code === 'string' && Object.hasOwn(PROBLEMS, code)),
  ),
  /** Answers this status without a body, and does nothing. */
  status: v.optional(v.pipe(Count, v.minValue(400), v.maxValue(599))),
  /** `call`: cuts, and does nothing. `answer`: does it, then cuts. `half`: cuts in the middle of a source. */
  drop: v.optional(v.picklist(['call', 'answer', 'half'])),
});
export type ServerFault = v.InferOutput<typeof ServerFault>;

/** Of several rules the first whose turn it is acts. `nth` counts from 1; without it, each call. */
export const ServerRules = v.array(
  v.strictObject({
    on: v.union([v.picklist(SERVER_CALLS), v.array(v.picklist(SERVER_CALLS))]),
    nth: v.optional(v.union([Count, v.array(Count)])),
    fault: ServerFault,
  }),
);
export type ServerRules = v.InferOutput<typeof ServerRules>;

/** The rules in force, and what each has counted. */
export class ServerScript {
  #rules: { readonly rule: ServerRules[number]; seen: number }[] = [];

  set(rules: ServerRules): void {
    this.#rules = rules.map((rule) => ({ rule, seen: 0 }));
  }

  /** Counts a call for every rule that it fits. @returns what the first one whose turn it is says. */
  next(call: ServerCall): ServerFault {
    let fault: ServerFault | undefined;
    for (const entry of this.#rules) {
      const { on, nth, fault: own } = entry.rule;
      if (![on].flat().includes(call)) continue;
      entry.seen += 1;
      if (nth === undefined || [nth].flat().includes(entry.seen)) fault ??= own;
    }
    return fault ?? {};
  }
}
