import * as v from 'valibot';
import { Job, isEnded } from '../job/job.ts';
import { LogEntry } from '../job/log.ts';

// What one object keeps on disk, as one value: a commit is one row, whatever it changes.

/** An effect that is owed. */
export const OutboxRow = v.object({
  key: v.string(),
  version: v.number(),
  /** When it is due, epoch ms; null once it was given up on. */
  due: v.nullable(v.number()),
  tries: v.number(),
  /** From its start until its outcome is written. */
  running: v.boolean(),
  reason: v.nullable(v.string()),
});
export type OutboxRow = v.InferOutput<typeof OutboxRow>;

const Count = v.pipe(v.number(), v.minValue(0));

const Usage = v.object({ requests: Count, messages: Count, rows: Count });

export const Kept = v.object({
  v: v.literal(1),
  job: Job,
  log: v.array(LogEntry),
  outbox: v.array(OutboxRow),
  /** What the object has used, and what of that the last change shows. */
  usage: Usage,
  shown: Usage,
});
export type Kept = v.InferOutput<typeof Kept>;

/** The only key. */
const KEY = 'job';

export function writeKept(storage: DurableObjectStorage, kept: Kept): void {
  storage.kv.put(KEY, JSON.stringify(kept));
}

/** What was kept, or null when there is nothing. */
export function readKept(storage: DurableObjectStorage): Kept | null {
  const text = storage.kv.get(KEY);
  if (text !== undefined) return v.parse(v.pipe(v.string(), v.parseJson(), Kept), text);
  return storage.kv.get('schema') === undefined ? null : readTables(storage.sql);
}

/** What versions before 0.2 kept in three tables. Views in their log are whole, which an entry may be. */
function readTables(sql: SqlStorage): Kept | null {
  const rows = (query: string) => sql.exec(query).toArray();
  const [row] = v.parse(
    v.array(v.object({ body: v.pipe(v.string(), v.parseJson(), Job) })),
    rows('SELECT body FROM job'),
  );
  if (!row) return null;
  const log = v.parse(
    v.array(LogEntry),
    rows('SELECT seq, at, happening, view FROM events ORDER BY seq'),
  );
  const owed = rows('SELECT key, version, due_at AS due, tries, running, reason FROM outbox');
  const Row = v.object({
    ...OutboxRow.entries,
    running: v.pipe(
      v.number(),
      v.transform((n) => n === 1),
    ),
  });
  const usage = { requests: 0, messages: 0, rows: 0 };
  const outbox = v.parse(v.array(Row), owed);
  const { body: job } = row;
  // Then the log of an ended job was to go to R2; now it goes to D1, with one more mirror.
  const mirror = {
    key: 'mirror',
    version: 1,
    due: job.updatedAt,
    tries: 1,
    running: false,
    reason: null,
  };
  const isTold = !isEnded(job) || outbox.some(({ key }) => key === 'mirror');
  return {
    v: 1,
    job: timed(job),
    log,
    outbox: isTold ? outbox : [...outbox, mirror],
    usage,
    shown: usage,
  };
}

/** When its renderer took it was not kept then. */
function timed(job: Job): Job {
  if (job.state !== 'running' || job.claimedAt > 0) return job;
  return { ...job, claimedAt: job.startedAt ?? job.updatedAt };
}
