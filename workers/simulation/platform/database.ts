import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, StatementSync } from 'node:sqlite';

const WRITE = /^\s*(?:INSERT(?: OR \w+)? INTO|REPLACE INTO|UPDATE|DELETE FROM)\s/i;

interface Prepared {
  readonly statement: StatementSync;
  readonly writes: boolean;
}

/** A SQLite database in memory that prepares each statement once. */
export class Database {
  readonly #db = new DatabaseSync(':memory:');
  readonly #prepared = new Map<string, Prepared>();

  constructor() {
    // Nothing is ever rolled back here.
    this.script('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF');
  }

  /** Runs several statements without values. */
  script(sql: string): void {
    this.#db.exec(sql);
  }

  rows(sql: string, values: readonly SQLInputValue[] = []): unknown[] {
    return this.#prepare(sql).statement.all(...values);
  }

  /** Whether a statement writes. */
  writes(sql: string): boolean {
    return this.#prepare(sql).writes;
  }

  #prepare(sql: string): Prepared {
    let known = this.#prepared.get(sql);
    if (!known) {
      known = { statement: this.#db.prepare(sql), writes: WRITE.test(sql) };
      this.#prepared.set(sql, known);
    }
    return known;
  }
}
