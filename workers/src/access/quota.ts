import { BoundedCache } from '../lib/bounded-cache.ts';
import { reachable } from '../lib/d1.ts';
import { Refusal } from '../lib/respond.ts';
import type { Owner } from './callers.ts';

// Responsible for owners who have as many jobs as they may. Whether that is so is found out by the statement
// that records another one, so that no two of them fit into one place.

/** How many jobs a tenant may have, and how long one lives at most, ms. */
export interface Bounds {
  max_live_jobs: number;
  max_jobs_per_day: number;
  lifeMs: number;
}
export const DAY_MS = 24 * 60 * 60_000;
/** When a job of many may have ended, ms. */
const LIVE_RETRY_MS = 30_000;

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

/**
 * To find out takes a count over all jobs, and who is refused tends to ask again.
 * @throws Refusal, the one that this owner has just had.
 */
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

/** Which of the two limits it is, and when it is worth trying again. Reads as many rows as there may be jobs. */
export async function quotaRefusal(
  db: D1Database,
  tenant: string,
  { max_live_jobs, max_jobs_per_day }: Bounds,
  now: number,
): Promise<Refusal> {
  // The job that must leave the last 24 hours before another one fits in.
  const sql = `SELECT created_at FROM export_jobs WHERE tenant = ? AND created_at > ?
    ORDER BY created_at DESC LIMIT 1 OFFSET ?`;
  const offset = Math.max(0, max_jobs_per_day - 1);
  const last = await reachable(
    db
      .prepare(sql)
      .bind(tenant, now - DAY_MS, offset)
      .first<number>('created_at'),
  );
  const isDaily = max_jobs_per_day === 0 || last !== null;
  const waitMs = isDaily ? (last ?? now) + DAY_MS - now : LIVE_RETRY_MS;
  const [code, limit] = isDaily
    ? (['daily_limit', max_jobs_per_day] as const)
    : (['too_many_jobs', max_live_jobs] as const);
  const headers = { 'retry-after': `${Math.max(1, Math.ceil(waitMs / 1000))}` };
  return new Refusal(code, { detail: `At most ${limit}.` }, headers);
}

const isQuota = (code: string): code is keyof typeof REPEATED_MS =>
  Object.hasOwn(REPEATED_MS, code);
