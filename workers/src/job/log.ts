import { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';

// The log of a job: every change as what it changed of the view, so that a log stays small.

const Change = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown()));

/** One change; `view` is the JSON of the fields that it changed, of the first one all. */
export const LogEntry = v.object({
  seq: v.number(),
  at: v.number(),
  happening: v.string(),
  view: v.string(),
});
export type LogEntry = v.InferOutput<typeof LogEntry>;

/** One change with the whole view after it. */
export interface LogLine {
  seq: number;
  at: number;
  happening: string;
  view: ExportJob;
}

/** The entry of a change that led from one view to another. Links expire: a log keeps none. */
export function entryOf(
  before: ExportJob | null,
  after: ExportJob,
  { at, happening }: Pick<LogEntry, 'at' | 'happening'>,
): LogEntry {
  const known = new Map(
    Object.entries(before ?? {}).map(([k, value]) => [k, JSON.stringify(value)]),
  );
  const changes = Object.entries(withoutLink(after)).filter(
    ([key, value]) => known.get(key) !== JSON.stringify(value),
  );
  return { seq: after.seq, at, happening, view: JSON.stringify(Object.fromEntries(changes)) };
}

/** The whole views again. What does not belong to a status is dropped by the schema of its views. */
export function unfold(entries: readonly LogEntry[]): LogLine[] {
  let fields: Record<string, unknown> = {};
  return entries.map(({ view, ...entry }) => {
    fields = { ...fields, ...v.parse(Change, view) };
    return { ...entry, view: v.parse(ExportJob, fields) };
  });
}

function withoutLink(view: ExportJob): ExportJob {
  return view.status === 'complete' ? { ...view, output_url: '' } : view;
}
