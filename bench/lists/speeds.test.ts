import { env } from 'cloudflare:workers';
import { beforeAll, expect, it } from 'vitest';
import { measureSpeeds } from '../../workers/src/lib/speeds.ts';
import { counted } from './counted.ts';
import { fill } from './crowd.ts';

const CROWD = { jobs: 10_000, owners: 50 };
/** Of a tenth of the owners at most so many jobs each are looked at, however many there are. */
const SAMPLED = 10 * 500;

beforeAll(async () => await fill(env.DB, CROWD));

it('the speeds of the past are measured by few rows an hour, however many jobs there are', async () => {
  const { db, take } = counted(env.DB);
  await measureSpeeds(db, Date.now());
  const [read, ...writes] = take();
  // Of each job the index and the row, and a step from owner to owner.
  expect(read?.rows_read).toBeLessThanOrEqual(2 * SAMPLED + 10 * CROWD.owners);
  expect(read?.rows_written).toBe(0);
  const rows = await env.DB.prepare('SELECT kind, unit FROM export_speeds').all();
  expect(rows.results.length).toBeGreaterThan(0);
  const written = writes.reduce((sum, { rows_written }) => sum + rows_written, 0);
  expect(written).toBe(rows.results.length);
});
