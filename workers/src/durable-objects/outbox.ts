import type { Effect } from '../job/events.ts';
import { LEASE_MS } from '../outbox/drain.ts';
import type { OutboxItem } from '../outbox/drain.ts';
import type { OutboxRow } from './kept.ts';

/** The effects that one object owes, in memory. Whoever changes them writes them down. */
export class Outbox {
  #rows: readonly OutboxRow[] = [];
  /** What is being carried out by this memory. What only the disk calls running, nobody works for. */
  readonly #inFlight = new Set<string>();

  get rows(): readonly OutboxRow[] {
    return this.#rows;
  }

  restore(rows: readonly OutboxRow[]): void {
    this.#rows = rows;
  }

  /**
   * Owes more, and returns what is to be carried out now. An effect that is owed already keeps its time,
   * so that it never runs twice at once and an outage is not hammered; one that was given up on gets
   * another chance. One that an older memory has started is begun anew: it may well be done, and its
   * confirmation lost.
   */
  add(effects: readonly Effect[], now: number): OutboxItem[] {
    const due = now + LEASE_MS;
    const known = new Map(this.#rows.map((row) => [row.key, row]));
    const started: OutboxItem[] = [];
    for (const key of new Set<string>(effects)) {
      const row = known.get(key);
      const isOrphan = row?.running === true && !this.#inFlight.has(key);
      const version = (row?.version ?? 0) + 1;
      if (row && !isOrphan) known.set(key, { ...row, version, due: row.due ?? due });
      else {
        known.set(key, { key, version, due, tries: 0, running: true, reason: null });
        started.push({ key, version, tries: 0, interrupted: isOrphan });
        this.#inFlight.add(key);
      }
    }
    this.#rows = [...known.values()];
    return started;
  }

  /** The keys of what is due. */
  dueBy(now: number): string[] {
    return this.#rows.filter(({ due }) => due !== null && due <= now).map(({ key }) => key);
  }

  /** Takes every due effect, as it was, and makes it due again at `until`. */
  lease(now: number, until: number): OutboxItem[] {
    const isDue = ({ due }: OutboxRow) => due !== null && due <= now;
    const taken = this.#rows.filter(isDue);
    for (const { key } of taken) this.#inFlight.add(key);
    this.#rows = this.#rows.map((row) =>
      isDue(row) ? { ...row, due: until, running: true } : row,
    );
    return taken.map(({ key, version, tries, running }) => ({
      key,
      version,
      tries,
      interrupted: running,
    }));
  }

  confirm(key: string, version: number, now: number): void {
    this.#inFlight.delete(key);
    this.#rows = this.#rows
      .filter((row) => row.key !== key || row.version !== version)
      .map((row) => (row.key === key ? { ...row, due: now, tries: 0, running: false } : row));
  }

  /** Has an effect tried again at `due`, or given up on. */
  defer(key: string, due: number | null, reason: string): void {
    this.#inFlight.delete(key);
    this.#rows = this.#rows.map((row) =>
      row.key === key
        ? { ...row, due, reason, running: false, tries: row.tries + (due === null ? 0 : 1) }
        : row,
    );
  }

  /**
   * Gives what was parked another chance, but for stops: by then the provider's own limits have ended
   * the job.
   */
  settle(now: number): void {
    this.#rows = this.#rows
      .filter(({ key }) => !key.startsWith('stop:'))
      .map((row) => (row.due === null ? { ...row, due: now, tries: 0 } : row));
  }

  /** Whether this, as it was asked for last, is all that is owed. */
  isOnly(key: string, version: number): boolean {
    return this.#rows.every((row) => row.key === key && row.version === version);
  }

  get isEmpty(): boolean {
    return this.#rows.length === 0;
  }

  /** Whether something besides the mirror is owed. */
  get isOwing(): boolean {
    return this.#rows.some(({ key, due }) => key !== 'mirror' && due !== null);
  }

  /** When the first effect is due, epoch ms; null for never. */
  get dueAt(): number | null {
    return earliest(this.#rows.map(({ due }) => due));
  }

  /** The same, when a fresh effect may be guarded by an alarm that comes this much later, ms. */
  guardedUntil(slackMs: number): number | null {
    const isFresh = ({ key, tries }: OutboxRow) => tries === 0 && this.#inFlight.has(key);
    return earliest(
      this.#rows.map((row) => (row.due !== null && isFresh(row) ? row.due + slackMs : row.due)),
    );
  }

  /** Effects that were given up on, for people to see. */
  get parked(): { key: string; reason: string | null }[] {
    return this.#rows.filter(({ due }) => due === null).map(({ key, reason }) => ({ key, reason }));
  }
}

function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}
