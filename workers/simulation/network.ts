import { Dead, Unreachable } from './stage.ts';
import type { Stage } from './stage.ts';

/** How long a caller waits for an answer, ms. */
const CALL_TIMEOUT_MS = 10_000;

/** How one call travels: what is done there, and what a caller may notice of the way. */
export interface Way<T> {
  readonly call: () => Promise<T>;
  /** The caller hears nothing, though it may be heard. */
  readonly isDeaf?: boolean;
  /** Called when the same request has been answered twice in a row. */
  readonly onRepeat?: (first: T, second: T) => void;
}

/**
 * One request and its answer over a network that loses, doubles and delays both.
 * @throws Unreachable when no answer came in time.
 */
export function exchange<T>(stage: Stage, { call, isDeaf, onRepeat }: Way<T>): Promise<T> {
  const { clock, random, faults } = stage;
  return new Promise((resolve, reject) => {
    const timeout = clock.after(CALL_TIMEOUT_MS, () => reject(new Unreachable()));
    const answered = (answer: T) => {
      if (isDeaf || faults.strikes('answer lost', 0.1)) return;
      clock.after(random.int(5, 60), () => {
        timeout.cancel();
        resolve(answer);
      });
    };
    const arrive = async () => {
      const first = await heard(call);
      if (!first) return;
      answered(first.answer);
      if (!faults.strikes('request doubled', 0.15)) return;
      const second = await heard(call);
      if (second) onRepeat?.(first.answer, second.answer);
    };
    if (faults.strikes('request lost', 0.1)) return;
    const late = faults.strikes('request late', 0.1) ? random.skewed(1000, 300_000) : 0;
    clock.after(late + random.int(5, 60), () => void arrive());
  });
}

async function heard<T>(call: () => Promise<T>): Promise<{ answer: T } | null> {
  try {
    return { answer: await call() };
  } catch (error) {
    // The connection breaks without an answer.
    if (error instanceof Dead) return null;
    throw error;
  }
}
