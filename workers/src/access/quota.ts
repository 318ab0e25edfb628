import { BoundedCache } from '../lib/bounded-cache.ts';
import { Refusal } from '../lib/respond.ts';
import type { Owner } from './callers.ts';

// Responsible for what is remembered of owners who have as many jobs as they may: to find that out takes a
// count over all of these, and who is refused tends to ask again.

/** How long a refusal is repeated without counting anew, at most, ms. A job may end at any time. */
const REPEATED_MS = { daily_limit: 30_000, too_many_jobs: 2000 } as const;
const MAX_REMEMBERED = 1000;

interface Remembered {
  refusal: Refusal | null;
  until: number;
}
const memory = new BoundedCache<Remembered>(MAX_REMEMBERED);

type Who = Pick<Owner, 'tenant' | 'plan'>;

const rememberedOf = ({ tenant, plan }: Who) =>
  memory.get(`${tenant} ${plan}`, () => ({ refusal: null, until: 0 }));

/** @throws Refusal, the one that this owner has just had. */
export function rememberedRefusal(who: Who): void {
  const { refusal, until } = rememberedOf(who);
  if (refusal && Date.now() < until) throw refusal;
}

/** Remembers it when the creation of a job is refused for there being too many. */
export async function withinQuota(who: Who, creation: Promise<void>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (error instanceof Refusal && isQuota(error.code)) {
      const until = Date.now() + REPEATED_MS[error.code];
      Object.assign(rememberedOf(who), { refusal: error, until });
    }
    throw error;
  }
}

const isQuota = (code: string): code is keyof typeof REPEATED_MS =>
  Object.hasOwn(REPEATED_MS, code);
