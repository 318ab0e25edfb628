// What the run and the process of its runtime say to each other.
import * as v from 'valibot';

const Settings = v.object({
  script: v.object({
    code: v.string(),
    compatibilityDate: v.string(),
    compatibilityFlags: v.array(v.string()),
  }),
  port: v.number(),
  /** Where D1, R2 and the objects keep their data. */
  folder: v.string(),
  variables: v.record(v.string(), v.string()),
  /** SQL to run first. */
  migrations: v.array(v.string()),
});
export type Settings = v.InferOutput<typeof Settings>;

const Eviction = v.object({
  className: v.string(),
  name: v.string(),
  webSockets: v.picklist(['hibernate', 'close']),
});
export type Eviction = v.InferOutput<typeof Eviction>;

/** To start, to take an object out of memory, or, with neither, to stop. */
export const Order = v.object({
  id: v.number(),
  start: v.optional(Settings),
  evict: v.optional(Eviction),
});
export type Order = v.InferOutput<typeof Order>;

/** The process of workerd. */
export const Started = v.object({ pid: v.number() });
export type Started = v.InferOutput<typeof Started>;

export const Answer = v.object({
  id: v.number(),
  value: v.optional(v.unknown()),
  error: v.optional(v.string()),
});
