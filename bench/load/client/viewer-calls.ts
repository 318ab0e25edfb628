// What the bench asks of the process that holds its viewers, and what that answers.
import * as v from 'valibot';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const Command = v.variant('do', [
  v.object({
    do: v.literal('open'),
    door: v.object({ port: Count, path: v.string(), protocols: v.array(v.string()) }),
    viewers: Count,
  }),
  /** Counts from here on; `timed` also keeps how long each message was on its way. */
  v.object({ do: v.literal('mark'), timed: v.boolean() }),
  /** What was counted since. */
  v.object({ do: v.literal('read') }),
  /** Waits until every viewer has heard the end, or for so long, and judges what they heard. */
  v.object({ do: v.literal('judge'), acknowledged: Count, patienceMs: Count }),
  v.object({ do: v.literal('close') }),
]);
export type Command = v.InferOutput<typeof Command>;

/** Milliseconds on the way from the reporter to a viewer; null when none was timed. */
const Milliseconds = v.nullable(v.number());

export const Reading = v.object({
  messages: Count,
  seconds: v.number(),
  /** CPU seconds of the viewers' process in this time. */
  cpu: v.number(),
  p50: Milliseconds,
  p95: Milliseconds,
  p99: Milliseconds,
});
export type Reading = v.InferOutput<typeof Reading>;

export const Verdict = v.object({
  noEnd: Count,
  endedAgain: Count,
  afterEnd: Count,
  fell: Count,
  unheard: Count,
});

export const Done = v.object({ done: v.literal(true) });
