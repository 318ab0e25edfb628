import { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { Job } from '../job/job.ts';
import { isQuestion } from '../job/events.ts';
import type { Effect, Happening } from '../job/events.ts';
import type { Policy } from '../job/policy.ts';
import { lookAt, nextWakeAt } from '../job/schedule.ts';
import { LEASE_MS } from '../outbox/drain.ts';
import type { OutboxItem } from '../outbox/drain.ts';

// Responsible for what one object keeps on disk: the job, the log of its events, its outbox, its
// alarm. What belongs together is one transaction; memory is replaced only after the commit.

/** Append-only: a change of the schema is a new entry. */
const MIGRATIONS = [
  `CREATE TABLE job (only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL);
   CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, happening TEXT NOT NULL, view TEXT NOT NULL);
   CREATE TABLE outbox (key TEXT PRIMARY KEY, version INTEGER NOT NULL, due_at INTEGER, tries INTEGER NOT NULL, reason TEXT) WITHOUT ROWID;`,
  `ALTER TABLE outbox ADD COLUMN running INTEGER NOT NULL DEFAULT 0;`,
];
/** More events than this are not replayed: a snapshot says the same in less. */
const REPLAY_LIMIT = 200;
/** The platform may be this late with an alarm, ms; later than that it is taken for lost. */
const ALARM_LATENESS_MS = 60_000;

const Version = v.optional(v.pipe(v.number(), v.integer()), 0);
const OutboxRow = v.object({
  key: v.string(),
  version: v.number(),
  tries: v.number(),
  /** 1 from its start until its outcome is written. */
  running: v.number(),
});
const ParkedRow = v.object({ key: v.string(), reason: v.nullable(v.string()) });

export class JobStore {
  readonly #storage: DurableObjectStorage;
  #job: Job | null | undefined;
  /** When the alarm will fire; null when none is armed. */
  #armedAt: number | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** The committed job, or null when none was initialised. Reads nothing once it is in memory. */
  get job(): Job | null {
    if (this.#job === undefined) this.#job = this.#read();
    return this.#job;
  }

  /**
   * Commits a change: the job, its log entry, what it must cause elsewhere and the alarm, or nothing
   * at all. Returns the effects to carry out now; they are born leased, so that the alarm repeats
   * what a crash interrupts.
   */
  commit(
    job: Job,
    entry: { happening: Happening; view: ExportJob },
    effects: readonly Effect[],
    policy: Policy,
  ): OutboxItem[] {
    const now = job.updatedAt;
    const { fresh, wakeAt } = this.#storage.transactionSync(() => {
      this.#migrate();
      this.#sql('INSERT OR REPLACE INTO job (only, body) VALUES (1, ?)', JSON.stringify(job));
      // Progress is only a hint that the next report replaces; every change of state is kept.
      if (entry.happening !== 'progress') {
        this.#sql(
          'INSERT INTO events (seq, at, happening, view) VALUES (?, ?, ?, ?)',
          job.seq,
          now,
          entry.happening,
          JSON.stringify(entry.view),
        );
      }
      const fresh = this.#enqueueAll(effects, now);
      return { fresh, wakeAt: this.#armBy(nextWakeAt(job, this.#outboxDueAt(), policy), now) };
    });
    this.#job = job;
    this.#armedAt = wakeAt;
    return fresh;
  }

  /** Asks for effects without a change of the job; returns those to carry out now. */
  enqueue(effects: readonly Effect[], now: number): OutboxItem[] {
    return this.#storage.transactionSync(() => {
      const fresh = this.#enqueueAll(effects, now);
      if (!effects.every(isQuestion)) this.#armedAt = this.#armBy(now + LEASE_MS, now);
      return fresh;
    });
  }

  /** Learns after a cold start when the alarm will fire, so that one that is armed is not set again. */
  async recallAlarm(): Promise<void> {
    this.#armedAt = await this.#storage.getAlarm();
  }

  /** Arms the alarm anew when the platform has lost it or is very late with it. */
  heal(policy: Policy, now: number): void {
    if (this.#armedAt === null || this.#armedAt < now - ALARM_LATENESS_MS) this.rearm(policy, now);
  }

  /**
   * Arms the alarm for whatever comes next, once it has fired or is known to be lost; not before
   * `earliest`, epoch ms.
   */
  rearm(policy: Policy, now: number, earliest = 0): void {
    this.#armedAt = null;
    const at = nextWakeAt(this.job, this.#outboxDueAt(), policy);
    this.#armedAt = this.#armBy(at && Math.max(at, earliest), now);
  }

  /** The logged views after `since` and before the present one, oldest first; none if too many. */
  eventsAfter(since: number): ExportJob[] {
    if (this.job === null) return [];
    const rows = this.#rows(
      v.object({ view: v.string() }),
      'SELECT view FROM events WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?',
      since,
      this.job.seq,
      REPLAY_LIMIT + 1,
    );
    if (rows.length > REPLAY_LIMIT) return [];
    return rows.map((row) => v.parse(ExportJob, JSON.parse(row.view)));
  }

  /** Every change of state in order, one line of JSON each: `{seq, at, happening, view}`. */
  logLines(): string {
    const Row = v.object({
      seq: v.number(),
      at: v.number(),
      happening: v.string(),
      view: v.string(),
    });
    const rows = this.#rows(Row, 'SELECT seq, at, happening, view FROM events ORDER BY seq');
    const lines = rows.map((row) => JSON.stringify({ ...row, view: withoutLink(row.view) }));
    return lines.map((line) => `${line}\n`).join('');
  }

  /** Takes every due item and makes it due again at `until`. */
  lease(now: number, until: number): OutboxItem[] {
    if (this.job === null) return [];
    return this.#storage.transactionSync(() => {
      const sql = 'SELECT key, version, tries, running FROM outbox WHERE due_at <= ?';
      const rows = this.#rows(OutboxRow, sql, now);
      if (rows.length > 0) {
        this.#sql('UPDATE outbox SET due_at = ?, running = 1 WHERE due_at <= ?', until, now);
      }
      return rows.map(itemOf);
    });
  }

  confirm({ key, version }: OutboxItem, now: number): void {
    this.#sql('DELETE FROM outbox WHERE key = ? AND version = ?', key, version);
    this.#sql('UPDATE outbox SET due_at = ?, tries = 0, running = 0 WHERE key = ?', now, key);
  }

  postpone({ key }: OutboxItem, dueAt: number, reason: string): void {
    this.#sql(
      'UPDATE outbox SET due_at = ?, tries = tries + 1, running = 0, reason = ? WHERE key = ?',
      dueAt,
      reason,
      key,
    );
  }

  park({ key }: OutboxItem, reason: string): void {
    this.#sql(
      'UPDATE outbox SET due_at = NULL, running = 0, reason = ? WHERE key = ?',
      reason,
      key,
    );
  }

  /** Effects that were given up on, for people to see. */
  get parked(): v.InferOutput<typeof ParkedRow>[] {
    if (this.job === null) return [];
    return this.#rows(ParkedRow, 'SELECT key, reason FROM outbox WHERE due_at IS NULL');
  }

  /** When an ended job should be looked at should its alarm be lost, epoch ms; else null. */
  lookAt(policy: Policy, now: number): number | null {
    if (!this.job) return null;
    const sql = "SELECT key FROM outbox WHERE key <> 'mirror' AND due_at IS NOT NULL LIMIT 1";
    const isOwing = this.#rows(v.object({ key: v.string() }), sql).length > 0;
    return lookAt(this.job, isOwing, policy, now);
  }

  /**
   * Whether nothing is left to carry out; gives what was parked another chance, but for stops: by then
   * the provider's own limits have ended the job.
   */
  settle(now: number): boolean {
    this.#sql("DELETE FROM outbox WHERE key LIKE 'stop:%'");
    this.#sql('UPDATE outbox SET due_at = ?, tries = 0 WHERE due_at IS NULL', now);
    return this.#rows(v.object({ key: v.string() }), 'SELECT key FROM outbox LIMIT 1').length === 0;
  }

  /** Forgets everything, the alarm too; the object then costs nothing. */
  async purge(): Promise<void> {
    await this.#storage.deleteAll();
    this.#job = null;
    this.#armedAt = null;
  }

  #enqueueAll(effects: readonly Effect[], now: number): OutboxItem[] {
    const owed = effects.filter((effect) => !isQuestion(effect));
    return owed.flatMap((effect) => this.#enqueue(effect, now));
  }

  #enqueue(effect: Effect, now: number): OutboxItem[] {
    // An item that is already there keeps its time, so that an effect never runs twice at once and
    // an outage is not hammered. One that was given up on gets another chance.
    const items = this.#rows(
      OutboxRow,
      `INSERT INTO outbox (key, version, due_at, tries, running) VALUES (?, 1, ?, 0, 1)
       ON CONFLICT (key) DO UPDATE
         SET version = version + 1, due_at = COALESCE(due_at, excluded.due_at)
       RETURNING key, version, tries, running`,
      effect,
      now + LEASE_MS,
    );
    return items
      .filter(({ version }) => version === 1)
      .map((row) => ({ ...itemOf(row), interrupted: false }));
  }

  #outboxDueAt(): number | null {
    if (this.#version() === 0) return null;
    const Due = v.object({ due: v.nullable(v.number()) });
    return this.#rows(Due, 'SELECT MIN(due_at) AS due FROM outbox')[0]?.due ?? null;
  }

  /**
   * Makes sure that the alarm fires by `at`, and returns when it will. An alarm that is armed earlier
   * stays: it fires, finds nothing due and arms again, which costs less than moving it each time.
   */
  #armBy(at: number | null, now: number): number | null {
    const armed = this.#armedAt;
    if (at === null || (armed !== null && armed > now && armed <= at)) return armed;
    void this.#storage.setAlarm(at);
    return at;
  }

  #read(): Job | null {
    if (this.#version() === 0) return null;
    this.#migrate();
    const [row] = this.#rows(v.object({ body: v.string() }), 'SELECT body FROM job');
    return row ? v.parse(Job, JSON.parse(row.body)) : null;
  }

  #version(): number {
    return v.parse(Version, this.#storage.kv.get('schema'));
  }

  /** Writes nothing when the schema is current, so that a full disk can still be read. */
  #migrate(): void {
    const version = this.#version();
    if (version === MIGRATIONS.length) return;
    for (const sql of MIGRATIONS.slice(version)) this.#storage.sql.exec(sql);
    this.#storage.kv.put('schema', MIGRATIONS.length);
  }

  #sql(sql: string, ...bindings: (string | number | null)[]): void {
    this.#storage.sql.exec(sql, ...bindings);
  }

  #rows<S extends v.GenericSchema>(
    schema: S,
    sql: string,
    ...bindings: (string | number | null)[]
  ): v.InferOutput<S>[] {
    return v.parse(v.array(schema), this.#storage.sql.exec(sql, ...bindings).toArray());
  }
}

function itemOf({ key, version, tries, running }: v.InferOutput<typeof OutboxRow>): OutboxItem {
  return { key, version, tries, interrupted: running === 1 };
}

/** Links expire and open a file to whoever has them: a log keeps none. */
function withoutLink(view: string): ExportJob {
  const job = v.parse(ExportJob, JSON.parse(view));
  return job.status === 'complete' ? { ...job, output_url: '' } : job;
}
