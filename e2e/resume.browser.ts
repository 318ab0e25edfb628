// A page that is closed in the middle of a large upload, and what becomes of that.
import { truncate } from 'node:fs/promises';
import { PART_BYTES } from '@export-jobs/protocol';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { launchBrowser, openTab } from './support/browser.ts';
import { cutFilm } from './support/media.ts';
import { until } from './support/processes.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

const COUNT = 9;
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

it('the same film, chosen again after a reload, goes on where it was', async () => {
  const context = await browser.newContext();
  context.setDefaultTimeout(90_000);
  const page = await openTab(context, stack.url);
  page.on('dialog', (dialog) => void dialog.accept());
  let passed = 0;
  await page.route(PARTS, async (route) => {
    // The rest never leaves the page, as on a network that has become slow.
    passed += 1;
    if (passed <= 4) await route.continue();
  });
  await startExport(page);
  await until('four parts are noted', async () => (await noted(page)) === 4);

  await page.reload();
  await page.unroute(PARTS);
  const sent: string[] = [];
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() === 'PUT') sent.push(pathname);
  });
  await startExport(page);
  await page.getByTestId('download').waitFor();
  expect(sent.toSorted()).toEqual([5, 6, 7, 8, 9].map((number) => `/api/parts/${number}`));
  expect(await noted(page)).toBe(0);
  await context.close();
}, 240_000);
