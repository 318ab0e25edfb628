// What the bench asks of the process that holds its viewers, and what that answers.
import * as v from 'valibot';

export const Command = v.variant('do', [
  v.object({ do: v.literal('open'), port: v.number(), path: v.string(), viewers: v.number() }),
  v.object({ do: v.literal('read') }),
]);
export type Command = v.InferOutput<typeof Command>;

/** What was heard since the last answer; milliseconds on the way to a viewer. */
export const Reading = v.object({
  frames: v.number(),
  reports: v.number(),
  seconds: v.number(),
  p50: v.nullable(v.number()),
  p99: v.nullable(v.number()),
});
export type Reading = v.InferOutput<typeof Reading>;
