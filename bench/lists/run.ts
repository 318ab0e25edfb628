// `node bench/lists/run.ts`: how many rows D1 reads for one page out of a million jobs, and how many
// it writes for one job.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { getPlatformProxy } from 'wrangler';
import { migrate } from '../../scripts/lib/build.ts';
import { heading, table, whole } from '../lib/report.ts';
import { BIG_OWNER, fill, SMALL_OWNER, TAGS } from './crowd.ts';
import { allowance, countLife, countPage, LOOK_AHEAD, type PageQuery } from './pages.ts';

const CROWD = { jobs: 1_000_000, owners: 1000 };
const LIMITS = [20, 100];

const PAGES: readonly (readonly [name: string, page: Omit<PageQuery, 'limit'>])[] = [
  ['newest first', { owner: BIG_OWNER }],
  ['… behind 1,000 jobs', { owner: BIG_OWNER, behind: 1000 }],
  ['… behind 50,000 jobs', { owner: BIG_OWNER, behind: 50_000 }],
  ['complete (94 %)', { owner: BIG_OWNER, status: 'complete' }],
  ['failed (4 %)', { owner: BIG_OWNER, status: 'error' }],
  ['… behind 2,000 failed ones', { owner: BIG_OWNER, status: 'error', behind: 2000 }],
  ['processing (0.5 %)', { owner: BIG_OWNER, status: 'processing' }],
  ['by a tag of 99 %, behind 50,000', { owner: BIG_OWNER, tag: TAGS[0], behind: 50_000 }],
  ['by a tag of 1 %', { owner: BIG_OWNER, tag: TAGS[1] }],
  ['a small owner: newest first', { owner: SMALL_OWNER }],
  ['a small owner: processing (none)', { owner: SMALL_OWNER, status: 'processing' }],
];

const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-lists-'));
try {
  await migrate(folder);
  // The database that `wrangler dev` would use, D1 in workerd; without the object, which nothing here asks.
  const configPath = path.join(folder, 'wrangler.json');
  await writeFile(configPath, JSON.stringify({ d1_databases: [{ binding: 'DB' }] }));
  const persist = { path: path.join(folder, 'state', 'v3') };
  const proxy = await getPlatformProxy<{ DB: D1Database }>({ configPath, persist });
  try {
    await measure(proxy.env.DB);
  } finally {
    await proxy.dispose();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measure(db: D1Database): Promise<void> {
  console.log(heading('Lists at scale: what D1 says that a page costs', 'node bench/lists/run.ts'));
  const from = performance.now();
  await fill(db, CROWD);
  const seconds = ((performance.now() - from) / 1000).toFixed(0);
  const { jobs, owners } = CROWD;
  console.log(
    `${whole(jobs)} jobs of ${whole(owners)} owners, filled in ${seconds} s; the largest`,
  );
  console.log(`owner has ${whole(jobs / 10)}. Rows read per page; ms by D1's clock.\n`);
  console.log(await tableOfPages(db));
  console.log(
    `\nA page may read ${LOOK_AHEAD} rows more than it shows, and by tag twice as many, each job`,
  );
  console.log('and its label; * reads more than that.\n');
  console.log(await tableOfWrites(db));
}

async function tableOfPages(db: D1Database): Promise<string> {
  const rows: string[][] = [];
  for (const [name, page] of PAGES) {
    const cells: string[] = [];
    for (const limit of LIMITS) {
      const query = { ...page, limit };
      const { jobs, rows_read, duration } = await countPage(db, query);
      const mark = rows_read > allowance(query, jobs) ? '*' : '';
      cells.push(whole(jobs), `${whole(rows_read)}${mark}`, whole(duration));
    }
    rows.push([name, ...cells]);
  }
  return table(['page', ...LIMITS.flatMap((limit) => [`of ${limit}`, 'rows read', 'ms'])], rows);
}

async function tableOfWrites(db: D1Database): Promise<string> {
  const life = await countLife(db);
  const rows = life.map(({ write, bill }) => [write, whole(bill.rows_written)]);
  const total = life.reduce((sum, { bill }) => sum + bill.rows_written, 0);
  return table(['written of one job', 'rows'], [...rows, ['its whole life', whole(total)]]);
}
