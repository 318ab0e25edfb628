// Responsible for what lies on disk, read past the Worker: the rows of D1, and what is left in the
// outbox of each object. Reading wakes nothing, so it can wait for what must come by itself.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
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

const Change = v.looseObject({ id: v.string(), seq: v.number() });

/** The rows of D1. @throws when the database cannot be read just now. */
export function rowsOf(dataDir: string): Row[] {
  for (const file of databases(path.join(dataDir, 'state', 'v3', 'd1'))) {
    const rows = select(file, 'export_jobs', 'SELECT * FROM export_jobs');
    if (rows) return v.parse(v.array(Row), rows);
  }
  return [];
}

/** What is left in the outboxes of all objects, as `job: effect`. */
export function leftInOutboxes(dataDir: string): string[] {
  return databases(path.join(dataDir, 'state', 'v3', 'do')).flatMap((file) => {
    const sql = `SELECT json_extract(job.body, '$.id') AS id, outbox.key AS key FROM job, outbox`;
    const rows = v.parse(
      v.array(v.looseObject({ id: v.nullable(v.string()), key: v.string() })),
      select(file, 'outbox', sql) ?? [],
    );
    return rows.map(({ id, key }) => `${id}: ${key}`);
  });
}

/** The numbers of all changes of state of each job, progress aside, by job. */
export function changesByJob(dataDir: string): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const file of databases(path.join(dataDir, 'state', 'v3', 'do'))) {
    const sql = `SELECT json_extract(job.body, '$.id') AS id, events.seq AS seq FROM job, events`;
    const rows = v.parse(v.array(Change), select(file, 'events', sql) ?? []);
    for (const { id, seq } of rows) found.set(id, [...(found.get(id) ?? []), seq]);
  }
  return found;
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
