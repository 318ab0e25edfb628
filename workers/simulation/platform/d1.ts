import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { SQLInputValue } from 'node:sqlite';
import * as v from 'valibot';
import type { Stage } from '../stage.ts';
import { Database } from './database.ts';

const MIGRATIONS = path.join(import.meta.dirname, '../../migrations');
/** Worlds of one thread follow each other, so one database serves them all. */
const database = new Database();
for (const file of readdirSync(MIGRATIONS).toSorted()) {
  database.script(readFileSync(path.join(MIGRATIONS, file), 'utf8'));
}

/** What D1 holds of a job, for the judge. */
const MirrorRow = v.object({
  rev: v.number(),
  status: v.string(),
  /** What its view says; null when there is none. */
  shown: v.nullable(v.string()),
  attempt: v.nullable(v.number()),
  completed_at: v.nullable(v.number()),
  look_at: v.nullable(v.number()),
  /** Number of the last entry of its log; null when there is none. */
  logged: v.nullable(v.number()),
});
export type MirrorRow = v.InferOutput<typeof MirrorRow>;

const LOOK = `SELECT rev, status, view ->> '$.status' AS shown, view ->> '$.attempt' AS attempt,
  completed_at, look_at, log ->> '$[#-1].seq' AS logged FROM export_jobs WHERE id = ?`;

/** D1 as the platform gives it (`D1Database`), over a real SQLite with the real migrations. */
export class D1 {
  readonly #stage: Stage;
  /** Called after every write. */
  readonly #onWrite: () => void;
  /** Rows that were looked at since the last write. */
  readonly #rows = new Map<string, MirrorRow | null>();

  constructor(stage: Stage, onWrite: () => void) {
    this.#stage = stage;
    this.#onWrite = onWrite;
    database.rows('DELETE FROM export_jobs');
  }

  prepare(sql: string) {
    const bound = (values: readonly SQLInputValue[]) => ({
      bind: (...more: SQLInputValue[]) => bound(more),
      run: () => this.#exchange(sql, values, answerOf),
      all: () => this.#exchange(sql, values, answerOf),
      first: () => this.#exchange(sql, values, (results) => results[0] ?? null),
    });
    return bound([]);
  }

  /** What it holds of a job now, without any fault in between. */
  rowOf(id: string): MirrorRow | null {
    let row = this.#rows.get(id);
    if (row === undefined) {
      const [found] = database.rows(LOOK, [id]);
      row = found ? v.parse(MirrorRow, found) : null;
      this.#rows.set(id, row);
    }
    return row;
  }

  /** One statement and its answer, which take their time and may get lost on the way. */
  #exchange<T>(
    sql: string,
    values: readonly SQLInputValue[],
    answer: (rows: unknown[]) => T,
  ): Promise<T> {
    const { clock, random, faults } = this.#stage;
    return new Promise((resolve, reject) => {
      const lose = () => reject(new Error('D1_ERROR: Network connection lost.'));
      if (faults.isDown('D1 down')) return void clock.after(random.int(5, 5000), lose);
      const wait = faults.strikes('D1 slow', 0.2) ? random.skewed(100, 90_000) : random.int(1, 30);
      clock.after(wait, () => {
        const rows = database.rows(sql, values);
        if (database.writes(sql)) {
          this.#rows.clear();
          this.#onWrite();
        }
        if (faults.strikes('D1 answer lost', 0.1)) clock.after(random.int(1, 5000), lose);
        else resolve(answer(rows));
      });
    });
  }
}

function answerOf(results: unknown[]) {
  return { results, success: true, meta: { rows_written: 1 } };
}
