// `npm run bench -- load`: what a report costs and how soon and surely it arrives, here and elsewhere.
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { inRoot } from '../../scripts/lib/paths.ts';
import { onStop } from '../../scripts/lib/until-stopped.ts';
import { report } from '../../scripts/lib/user-error.ts';
import { betweenMarkers } from '../lib/markers.ts';
import { heading } from '../lib/report.ts';
import { contestants } from './contestants.ts';
import { FULL, QUICK } from './plan.ts';
import { Provider } from './servers/runpod.ts';
import { Source } from './servers/source.ts';
import { Session } from './session.ts';
import { tables } from './tables.ts';

const PAGE = inRoot('README.md');
const MARKER = 'bench:load';

const { values } = parseArgs({
  options: {
    /** Half a minute, for whether it works; the page is left as it is. */
    quick: { type: 'boolean', default: false },
    /** Another checkout, whose Worker is measured as ours; the page is left as it is. */
    source: { type: 'string' },
    /** Only the contestants whose name starts so. */
    only: { type: 'string', multiple: true },
  },
});
const isForPage = !values.quick && values.source === undefined && values.only === undefined;
const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-load-'));
// Also when a signal ends this process in the middle of something, as Miniflare has it do.
process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
const provider = new Provider();
const session = new Session(folder, values.quick ? QUICK : FULL);
onStop(() => {
  process.exitCode = 1;
  void tidyUp().finally(() => process.exit());
});
try {
  await measure();
} catch (error) {
  report(error);
  process.exitCode = 1;
} finally {
  await tidyUp();
}

async function measure(): Promise<void> {
  // A page that cannot be written is better found out before than after five minutes.
  if (isForPage) betweenMarkers(await readFile(PAGE, 'utf8'), MARKER, '');
  const flags = process.argv.slice(2).map((flag) => ` ${flag}`);
  const title = heading('Reports under load', `npm run bench -- load${flags.join('')}`);
  await provider.start();
  const all = await contestants(provider, new Source(values.source));
  const chosen = all.filter(({ name }) => values.only?.some((it) => name.startsWith(it)) ?? true);
  const { results, absent } = await session.run(chosen);
  const text = `${title}\n${tables(chosen, results, absent)}`;
  console.log(text);
  if (!isForPage) return;
  await writeFile(PAGE, betweenMarkers(await readFile(PAGE, 'utf8'), MARKER, text));
}

async function tidyUp(): Promise<void> {
  await session.close();
  provider.close();
}
