import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { listPage } from '../../workers/src/lib/job-views.ts';
import { BIG_OWNER, TAGS, fill } from './crowd.ts';
import { counted } from './counted.ts';
import { allowance, countLife, countPage, LOOK_AHEAD } from './pages.ts';

// Rows are what D1 bills, and it counts them itself: `meta.rows_read`, `meta.rows_written`.

const CROWD = { jobs: 10_000, owners: 50 };
const LIMIT = 20;
// Four jobs share each moment, so that nearly every page of this size begins between two of them.
const ODD_LIMIT = 7;

beforeAll(async () => await fill(env.DB, CROWD));

describe('a page of the list reads no more rows than it shows', () => {
  it.each([
    ['the newest', {}],
    ['far behind a cursor', { behind: 900 }],
    ['of the status that nearly all have', { status: 'complete' }],
    ['of a rare status', { status: 'error' }],
    ['of a rare status, behind a cursor', { status: 'error', behind: 15 }],
    ['of a status that few have', { status: 'processing' }],
    ['of a tag that nearly all have, behind a cursor', { tag: TAGS[0], behind: 500 }],
    ['of a rare tag', { tag: TAGS[1] }],
  ] as const)('%s', async (_, only) => {
    const page = { owner: BIG_OWNER, limit: LIMIT, ...only };
    const bill = await countPage(env.DB, page);
    expect(bill.jobs).toBeGreaterThan(0);
    expect(bill.rows_read).toBeLessThanOrEqual(allowance(page, bill.jobs));
  });

  it('the whole list from page to page, in which each job comes once, the newest first', async () => {
    const d1 = counted(env.DB);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listPage(d1.db, BIG_OWNER, { limit: ODD_LIMIT, cursor });
      seen.push(...page.data.map(({ created_at, id }) => `${created_at} ${id}`));
      cursor = page.next_cursor ?? undefined;
      for (const { rows_read } of d1.take()) {
        expect(rows_read).toBeLessThanOrEqual(page.data.length + LOOK_AHEAD);
      }
    } while (cursor && seen.length < CROWD.jobs);
    expect(seen).toEqual([...new Set(seen)].toSorted().toReversed());
    const owned = 'SELECT count(*) FROM export_jobs WHERE tenant = ?';
    expect(seen).toHaveLength((await env.DB.prepare(owned).bind(BIG_OWNER).first('count(*)')) ?? 0);
  });
});

it('a job that goes well writes seven rows in its life, those of every index among them', async () => {
  const life = await countLife(env.DB);
  const rows = life.map(({ write, bill }) => [write, bill.rows_written] as const);
  expect(rows).toHaveLength(3);
  expect(rows.reduce((sum, [, written]) => sum + written, 0)).toBeLessThanOrEqual(7);
});
