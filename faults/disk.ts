// Responsible for what lies on disk, read past the Worker: the rows of D1, and what each object keeps.
// Reading wakes nothing, so it can wait for what must come by itself.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { deserialize } from 'node:v8';
import * as v from 'valibot';

const Row = v.looseObject({
  id: v.string(),
  rev: v.optional(v.number()),
  status: v.string(),
  progress: v.nullable(v.number()),
  output_video_key: v.nullable(v.string()),
  view: v.optional(v.nullable(v.string())),
});
export type Row = v.InferOutput<typeof Row>;

/** What the object of a job keeps under its one key, as far as it is looked at. */
const Kept = v.looseObject({
  job: v.looseObject({ id: v.string() }),
  log: v.array(v.looseObject({ seq: v.number() })),
  outbox: v.array(
    v.looseObject({
      key: v.string(),
      due: v.nullable(v.number()),
      tries: v.number(),
      running: v.boolean(),
    }),
  ),
});
type Kept = v.InferOutput<typeof Kept>;
const Stored = v.looseObject({ value: v.instance(Uint8Array) });

/** The rows of D1. @throws when the database cannot be read just now. */
export function rowsOf(dataDir: string): Row[] {
  for (const file of databases(path.join(dataDir, 'state', 'v3', 'd1'))) {
    const rows = select(file, 'export_jobs', 'SELECT * FROM export_jobs');
    if (rows) return v.parse(v.array(Row), rows);
  }
  return [];
}

/**
 * What is left in the outboxes of all objects, as `job: effect`. An effect that was started once and of
 * which nothing was written since is none: that it is done is written with the next change, if ever.
 */
export function leftInOutboxes(dataDir: string): string[] {
  return keptIn(dataDir).flatMap(({ job, outbox }) =>
    outbox
      .filter(({ due, tries, running }) => due === null || tries > 0 || !running)
      .map(({ key }) => `${job.id}: ${key}`),
  );
}

/** The numbers of all changes of state of each job, progress aside, by job. */
export function changesByJob(dataDir: string): Map<string, number[]> {
  return new Map(keptIn(dataDir).map(({ job, log }) => [job.id, log.map(({ seq }) => seq)]));
}

/** What each object of ours keeps: JSON, as one value of its key-value store, which is SQLite too. */
function keptIn(dataDir: string): Kept[] {
  return databases(path.join(dataDir, 'state', 'v3', 'do')).flatMap((file) => {
    const rows = select(file, '_cf_KV', `SELECT value FROM _cf_KV WHERE key = 'job'`) ?? [];
    return v
      .parse(v.array(Stored), rows)
      .map(({ value }) => v.parse(v.pipe(v.string(), v.parseJson(), Kept), deserialize(value)));
  });
}

function databases(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.sqlite') && !name.endsWith('metadata.sqlite'))
    .map((name) => path.join(folder, name));
}

/** @returns null when the database has no such table. */
function select(file: string, table: string, sql: string): unknown[] | null {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const tables = database.prepare(`SELECT 1 FROM sqlite_master WHERE name = ?`).all(table);
    return tables.length === 0 ? null : database.prepare(sql).all();
  } finally {
    database.close();
  }
}
