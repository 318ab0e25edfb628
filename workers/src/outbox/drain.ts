// Responsible for carrying committed effects out: leased before they start, removed when confirmed,
// tried again with back-off, parked loudly. Must not know any platform: everything is a port.

/** A row that says "wake up": its handler reads the present truth, so repeats are harmless. */
export interface OutboxItem {
  key: string;
  /** Grows when the effect is asked for again, so that an older confirmation cannot remove it. */
  version: number;
  tries: number;
  /** Whether it was started before and nobody knows how that went: the object died meanwhile. */
  interrupted: boolean;
}

/** How an effect asks for another try at a time of the other side's choosing. */
export class RetryLater extends Error {
  readonly afterMs: number;
  constructor(message: string, afterMs: number) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** Tells what an effect brought about; null when there is nothing to tell. */
export type Outcome = (() => void) | null;

export interface OutboxPorts {
  now(): number;
  random(): number;
  /** Takes every item that is due, and makes it due again at `leaseUntil`, in one transaction. */
  lease(now: number, leaseUntil: number): OutboxItem[];
  /** Removes the item if it was not asked for again since; else makes it due at once. */
  confirm(item: OutboxItem, now: number): void;
  postpone(item: OutboxItem, dueAt: number, reason: string): void;
  /** Takes the item out of the schedule but keeps it for people to see. */
  park(item: OutboxItem, reason: string): void;
  /**
   * Carries the effect out; settles within `EFFECT_TIMEOUT_MS`. A rejection means: not confirmed,
   * try again. What it returns is called once it is confirmed, in the same turn, so that what it
   * brought about and that it is done are written together.
   */
  perform(item: OutboxItem): Promise<Outcome>;
  /** Called on the first failure and on parking, not between. */
  report(item: OutboxItem, outcome: 'failing' | 'parked', reason: string): void;
}

/** How long a handler waits for the other side, ms; the effect may still be going on there. */
export const EFFECT_TIMEOUT_MS = 15_000;
/** Longer than the timeout, so that a retry cannot overlap what it repeats. */
export const LEASE_MS = 20_000;
/** Also how long the other side may be back before the outbox notices, ms. */
const BACKOFF_CAP_MS = 60_000;
/** With this back-off about two days. */
const MAX_TRIES = 3000;

/** Carries out the items at hand and then all that is due, until nothing is. Never rejects. */
export async function drainOutbox(ports: OutboxPorts, leased: OutboxItem[] = []): Promise<void> {
  let items = leased;
  do {
    await Promise.all(items.map((item) => attempt(item, ports)));
    const now = ports.now();
    items = ports.lease(now, now + LEASE_MS);
  } while (items.length > 0);
}

async function attempt(item: OutboxItem, ports: OutboxPorts): Promise<void> {
  try {
    const outcome = await ports.perform(item);
    ports.confirm(item, ports.now());
    outcome?.();
  } catch (error) {
    const reason = error instanceof Error ? error.message.slice(0, 200) : 'unknown';
    if (item.tries + 1 >= MAX_TRIES) {
      ports.park(item, reason);
      ports.report(item, 'parked', reason);
      return;
    }
    ports.postpone(item, ports.now() + waitFor(error, item, ports.random()), reason);
    if (item.tries === 0) ports.report(item, 'failing', reason);
  }
}

/** What the other side asked for is a minimum: it may ask for the same again and again. */
function waitFor(error: unknown, { tries }: OutboxItem, random: number): number {
  if (!(error instanceof RetryLater)) return backoff(tries, random);
  return Math.max(error.afterMs, Math.min(BACKOFF_CAP_MS, 1000 * 2 ** Math.min(tries, 10)));
}

function backoff(tries: number, random: number): number {
  const cap = Math.min(BACKOFF_CAP_MS, 2 * LEASE_MS * 2 ** Math.min(tries, 10));
  return Math.round(cap / 2 + (random * cap) / 2);
}
