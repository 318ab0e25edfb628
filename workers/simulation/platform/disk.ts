import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, StatementSync } from 'node:sqlite';

const WRITE = /^\s*(?:INSERT(?: OR \w+)? INTO|REPLACE INTO|UPDATE|DELETE FROM)\s+"?(\w+)/i;

interface Prepared {
  readonly statement: StatementSync;
  /** The table that it writes to, or null when it only reads. */
  readonly writesTo: string | null;
}

/** A SQLite database in memory that prepares each statement once. */
export class Database {
  readonly #db = new DatabaseSync(':memory:');
  readonly #prepared = new Map<string, Prepared>();

  constructor() {
    this.script('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF');
  }

  /** Runs several statements without values. */
  script(sql: string): void {
    this.#db.exec(sql);
  }

  rows(sql: string, values: readonly SQLInputValue[] = []): unknown[] {
    return this.#prepare(sql).statement.all(...values);
  }

  /** The table that a statement writes to, or null when it only reads. */
  writesTo(sql: string): string | null {
    return this.#prepare(sql).writesTo;
  }

  #prepare(sql: string): Prepared {
    let known = this.#prepared.get(sql);
    if (!known) {
      const [, table = null] = WRITE.exec(sql) ?? [];
      known = { statement: this.#db.prepare(sql), writesTo: table };
      this.#prepared.set(sql, known);
    }
    return known;
  }
}

/** What survives a crash of one object: its database, its key-value pairs and its alarm. */
export class Disk {
  kv = new Map<string, unknown>();
  /** When the alarm is to fire, epoch ms; null when none is set. */
  alarm: number | null = null;
  /** The tables that were written to since somebody looked. */
  readonly written = new Set<string>();
  readonly #db = new Database();
  /** Scripts that were run since all was forgotten. */
  #scripts = new Set<string>();
  /** Scripts whose tables are there, emptied: making them anew each time would cost the most. */
  readonly #known = new Set<string>();
  /** Scripts whose tables the transaction under way has made. */
  #made: string[] = [];

  /** Makes tables. */
  script(sql: string): void {
    this.#scripts.add(sql);
    if (this.#known.has(sql)) return;
    this.#known.add(sql);
    this.#made.push(sql);
    this.#db.script(sql);
  }

  rows(sql: string, values: readonly SQLInputValue[] = []): unknown[] {
    if (this.#scripts.size === 0) throw new Error('no such table');
    const table = this.#db.writesTo(sql);
    if (table !== null) this.written.add(table);
    return this.#db.rows(sql, values);
  }

  /** Whether a statement writes. */
  writes(sql: string): boolean {
    return this.#db.writesTo(sql) !== null;
  }

  /** Runs a closure; what it wrote, the alarm too, is undone when it throws. */
  transaction<T>(closure: () => T): T {
    const { kv, alarm } = this;
    const scripts = new Set(this.#scripts);
    this.#made = [];
    this.kv = new Map(kv);
    this.#db.rows('SAVEPOINT turn');
    try {
      return closure();
    } catch (error) {
      this.#db.rows('ROLLBACK TO turn');
      this.kv = kv;
      this.alarm = alarm;
      this.#scripts = scripts;
      for (const sql of this.#made) this.#known.delete(sql);
      throw error;
    } finally {
      this.#db.rows('RELEASE turn');
    }
  }

  /** Forgets everything, as `deleteAll` does and as the next world wants it. */
  clear(): void {
    if (this.#scripts.size > 0)
      for (const table of this.#tables()) this.#db.rows(`DELETE FROM "${table}"`);
    this.#scripts.clear();
    this.written.clear();
    this.kv = new Map();
    this.alarm = null;
  }

  get isEmpty(): boolean {
    return this.#scripts.size === 0 && this.kv.size === 0;
  }

  #tables(): string[] {
    const rows = this.#db.rows(`SELECT name FROM sqlite_master WHERE type = 'table'`);
    return rows.map((row) => String(Reflect.get(Object(row), 'name')));
  }
}
