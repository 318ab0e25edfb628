// A page that is closed in the middle of a large upload, and what becomes of that.
import { truncate } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PART_BYTES } from '@export-jobs/protocol';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { launchBrowser, openTab } from './support/browser.ts';
import { cutFilm } from './support/media.ts';
import { until } from './support/processes.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

const COUNT = 9;
/** Parts that are there before the page is closed: far more than what is left to be sent. */
const SENT = 7;
const PARTS = '**/api/parts/*';

let stack: Stack;
let browser: Browser;
let film: string;
beforeAll(async () => {
  const folder = await temporaryFolder('resume');
  [stack, browser, film] = await Promise.all([
    freshStack({ app: true }),
    launchBrowser(),
    cutFilm(folder, { seconds: 1, name: 'large.mp4' }),
  ]);
  // What follows the last box of an mp4 is skipped by every player.
  await truncate(film, COUNT * PART_BYTES - 1000);
});
afterAll(async () => {
  await browser.close();
  await stack.close();
});

async function startExport(page: Page): Promise<void> {
  await page.getByTestId('file').setInputFiles(film);
  await page.getByTestId('export').click();
}

/** How many parts the page has noted as sent. */
const noted = (page: Page): Promise<number> =>
  page.evaluate(() =>
    Object.entries(localStorage)
      .filter(([key]) => key.startsWith('export-jobs.upload'))
      .map(([, text]) => String(text).split('"md5"').length - 1)
      .reduce((sum, sent) => sum + sent, 0),
  );

/** Keeps what the page says of the upload, each time that it changes. */
function noteReadings(): void {
  const note = () => {
    const { dataset } = document.body;
    const text = document.querySelector('.reading .aside')?.textContent ?? '';
    dataset['readings'] = `${dataset['readings'] ?? ''}${text}\n`;
  };
  const said = { subtree: true, childList: true, characterData: true };
  new MutationObserver(note).observe(document.body, said);
}

const UNITS: Readonly<Record<string, number>> = { byte: 1, kB: 1e3, MB: 1e6, GB: 1e9 };

/** The speed that is told, bytes a second, if there is one. */
function speedIn(reading: string): number[] {
  const [, number, unit = ''] = /([\d.,]+)\s(\w+?)s?\/s/.exec(reading) ?? [];
  return number === undefined ? [] : [Number(number.replace(',', '')) * (UNITS[unit] ?? NaN)];
}

it('the same film, chosen again after a reload, goes on where it was, and tells its own speed', async () => {
  const context = await browser.newContext();
  const page = await openTab(context, stack.url);
  page.on('dialog', (dialog) => void dialog.accept());
  let passed = 0;
  await page.route(PARTS, async (route) => {
    // The rest never leaves the page, as on a network that has become slow.
    passed += 1;
    if (passed <= SENT) await route.continue();
  });
  await startExport(page);
  await until('most parts are noted', async () => (await noted(page)) === SENT);

  await page.reload();
  await page.unroute(PARTS);
  // One after the other, each longer than it takes until a speed is told.
  let later = 0;
  await page.route(PARTS, async (route) => {
    await sleep((later += 1500));
    await route.continue();
  });
  await page.evaluate(noteReadings);
  const sent: string[] = [];
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() === 'PUT') sent.push(pathname);
  });
  await startExport(page);
  await page.getByTestId('download').waitFor();
  expect(sent.toSorted()).toEqual(['/api/parts/8', '/api/parts/9']);
  expect(await noted(page)).toBe(0);
  const speeds = (await page.evaluate(() => document.body.dataset['readings'] ?? ''))
    .split('\n')
    .flatMap(speedIn);
  expect(speeds.length).toBeGreaterThan(0);
  // No more than all that was sent now, in the least time after which a speed is told.
  expect(Math.max(...speeds)).toBeLessThan(((COUNT - SENT) * PART_BYTES) / 0.7);
  await context.close();
});
