// What somebody sees and does who has nothing but the page.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { complaintsOf, launchBrowser, openTab } from './support/browser.ts';
import { cutFilm, inspect } from './support/media.ts';
import { descendants, isAlive, PATIENCE_MS, until } from './support/processes.ts';
import { freshStack, STOPPED_FOR_LONG, temporaryFolder } from './support/stack.ts';

let stack: Stack;
let browser: Browser;
let folder: string;
let film: string;
let context: BrowserContext;

beforeAll(async () => {
  folder = await temporaryFolder('browser');
  [stack, browser, film] = await Promise.all([
    freshStack({
      app: true,
      policy: { report_watched_ms: 300, ask_ms: 500 },
      rendererEnv: STOPPED_FOR_LONG,
    }),
    launchBrowser(),
    cutFilm(folder, { seconds: 20, width: 1280, height: 720 }),
  ]);
});
afterAll(async () => {
  await browser.close();
  await stack.close();
});
beforeEach(async () => {
  context = await browser.newContext({ acceptDownloads: true });
});
afterEach(async () => {
  const complaints = context.pages().flatMap(complaintsOf);
  await context.close();
  expect(complaints).toEqual([]);
});

async function choose(page: Page, file = film): Promise<void> {
  await page.getByTestId('file').setInputFiles(file);
  await page.getByTestId('export').waitFor();
}

async function startExport(page: Page, file = film): Promise<void> {
  await choose(page, file);
  await page.getByTestId('export').click();
  await page.getByTestId('percent').waitFor();
}

async function percentOf(page: Page): Promise<number> {
  return Number.parseFloat((await page.getByTestId('percent').textContent()) ?? '');
}

/** Notes each different number that the page shows until the download is there. */
async function watchPercent(page: Page): Promise<number[]> {
  const seen: number[] = [];
  await until('the download', async () => {
    if (await page.getByTestId('download').isVisible()) return true;
    const shown = await page
      .getByTestId('percent')
      .textContent({ timeout: 500 })
      .catch(() => '');
    const now = Number.parseFloat(shown ?? '');
    if (!Number.isNaN(now) && seen.at(-1) !== now) seen.push(now);
    return false;
  });
  return seen;
}

/** Notes, inside the page, each number that it shows from now on. @returns reads the notes. */
async function noteShown(page: Page): Promise<() => Promise<string[]>> {
  const notes = await page.evaluateHandle(() => {
    const seen: string[] = [];
    const note = () => {
      const text = document.querySelector('[data-testid=percent]')?.textContent ?? '';
      if (text !== '' && seen.at(-1) !== text) seen.push(text);
    };
    note();
    new MutationObserver(note).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
    });
    return seen;
  });
  return () => notes.jsonValue();
}

async function downloadFrom(page: Page, name: string): Promise<string> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByTestId('download').click(),
  ]);
  const file = path.join(folder, name);
  await download.saveAs(file);
  return file;
}

describe('the page', () => {
  it('exports a chosen file: the bar moves forwards, and what is downloaded plays', async () => {
    const page = await openTab(context, stack.url);
    await startExport(page);
    const seen = await watchPercent(page);
    expect(new Set(seen).size).toBeGreaterThan(3);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    const file = await downloadFrom(page, 'chosen.mp4');
    expect(await inspect(file)).toMatchObject({ video: 'h264', width: 1280, frames: 480 });
    // The page plays it too.
    await page.waitForFunction(() => (document.querySelector('video')?.readyState ?? 0) >= 1);
  });

  it('takes a file that is dropped on it', async () => {
    const short = await cutFilm(folder, { seconds: 1, name: 'dropped 🎬.mp4' });
    const page = await openTab(context, stack.url);
    const bytes = (await readFile(short)).toString('base64');
    const transfer = await page.evaluateHandle((base64) => {
      const data = new DataTransfer();
      const raw = Uint8Array.from(atob(base64), (letter) => letter.codePointAt(0) ?? 0);
      data.items.add(new File([raw], 'dropped 🎬.mp4', { type: 'video/mp4' }));
      return data;
    }, bytes);
    for (const event of ['dragenter', 'dragover', 'drop']) {
      await page.dispatchEvent('main', event, { dataTransfer: transfer });
    }
    await page.getByTestId('export').click();
    await page.getByTestId('download').waitFor();
    const file = await downloadFrom(page, 'dropped.mp4');
    expect(await inspect(file)).toMatchObject({ frames: 24 });
  });

  it('shows the same in two tabs', async () => {
    const one = await openTab(context, stack.url);
    await startExport(one);
    const two = await openTab(context, one.url());
    await two.getByTestId('percent').waitFor();
    // Each tab is drawn in its own time, so what counts is what both have shown, not when.
    const shown = await Promise.all([one, two].map((tab) => noteShown(tab)));
    await Promise.all([one, two].map((tab) => tab.getByTestId('download').waitFor()));
    const [first, second] = await Promise.all(shown.map((read) => read()));
    const both = (first ?? []).filter((text) => second?.includes(text));
    expect(both.length).toBeGreaterThan(0);
    const [a, b] = await Promise.all(
      [one, two].map((tab) => tab.getByTestId('output').textContent()),
    );
    expect(a).toBe(b);
  });

  it('goes on where it was when it is loaded again in the middle', async () => {
    const page = await openTab(context, stack.url);
    await startExport(page);
    const before = await until('it is on its way', async () => {
      const now = await percentOf(page);
      return now > 5 && now;
    });
    await page.reload();
    await page.getByTestId('percent').waitFor();
    await until(
      'it shows at least as much as before',
      async () => (await percentOf(page)) >= before,
    );
    await page.getByTestId('download').waitFor();
  });

  it('lists what was finished while no tab was open', async () => {
    const short = await cutFilm(folder, { seconds: 1, name: 'left alone.mp4' });
    const page = await openTab(context, stack.url);
    await startExport(page, short);
    await page.close();
    const later = await openTab(context, stack.url);
    const row = later
      .locator('[data-testid=row][data-status=complete]')
      .filter({ hasText: 'left alone.mp4' });
    await row.waitFor();
    await row.getByRole('link', { name: 'left alone.mp4', exact: true }).click();
    await later.getByTestId('download').waitFor();
  });

  it('cancels, and the encoder ends', async () => {
    const page = await openTab(context, stack.url);
    await startExport(page);
    const encoder = await until('an encoder runs', () =>
      descendants(stack.renderers[0]?.pid ?? 0).find(({ program }) => program === 'ffmpeg'),
    );
    // It stands still, so that it cannot have come to its own end.
    process.kill(encoder.pid, 'SIGSTOP');
    await page.getByTestId('cancel').click();
    await page.getByText('This export was cancelled.').waitFor();
    await page.getByText('Your upload is kept').waitFor();
    await until('the encoder is gone', () => !isAlive(encoder.pid));
  });

  it('says what is wrong with a file that is no film', async () => {
    const page = await openTab(context, stack.url);
    const text = {
      name: 'notes.mp4',
      mimeType: 'video/mp4',
      buffer: Buffer.from('no film\n'.repeat(99)),
    };
    await page.getByTestId('file').setInputFiles(text);
    const button = page.getByTestId('export');
    const problem = page.getByTestId('error');
    await button.or(problem).first().waitFor();
    if (await button.isEnabled().catch(() => false)) await button.click();
    await problem.waitFor();
    expect(await problem.textContent()).toMatch(/\w+.*\./);
    // It would fail again, so another try is not what is offered.
    await page.getByRole('button', { name: 'Choose another file' }).waitFor();
    expect(await page.getByRole('button', { name: 'Try again' }).count()).toBe(0);
  });

  it('says that there is no such export, and offers to make one', async () => {
    const page = await openTab(context, `${stack.url}/#/jobs/job_nope`);
    await page.getByText('There is no such export.').waitFor();
    await page.getByRole('link', { name: 'Make a new export' }).click();
    await page.getByRole('button', { name: 'Choose a file' }).waitFor();
    // The browser itself notes each 404.
    complaintsOf(page).length = 0;
  });

  it('keeps the filmstrip when Export is clicked before it is there', async () => {
    const page = await openTab(context, stack.url);
    await startExport(page);
    await page.getByRole('progressbar').first().locator('img').first().waitFor();
    await page.reload();
    await page.getByTestId('row').first().locator('img').waitFor();
  });

  it('offers no file of a job that was made by hand as if it had been checked', async () => {
    const job = `${stack.url}/api/jobs/by-hand`;
    for (const [call, body] of [
      ['init', { id: 'by-hand', status: 'pending', progress: 0 }],
      ['complete', { output_video_key: 'nowhere.mp4' }],
    ] as const) {
      const headers = { 'content-type': 'application/json' };
      const init = { method: 'POST', headers, body: JSON.stringify(body) };
      expect((await fetch(`${job}/do/${call}`, init)).status).toBe(200);
    }
    const page = await openTab(context, `${stack.url}/#/jobs/by-hand`);
    await page.getByText('This job was made by hand.').waitFor();
    expect(await page.locator('video').count()).toBe(0);
    expect(await page.getByTestId('download').count()).toBe(0);
  });
});

describe('the page for those who do not use a mouse or see it', () => {
  it('can be used with the keyboard alone', async () => {
    const short = await cutFilm(folder, { seconds: 1, name: 'keys.mp4' });
    const page = await openTab(context, stack.url);
    const press = async (name: RegExp) => {
      for (let n = 0; n < 60; n += 1) {
        await page.keyboard.press('Tab');
        const focused = await page.evaluate(
          () => document.activeElement?.textContent?.trim() ?? '',
        );
        if (name.test(focused)) return await page.keyboard.press('Enter');
      }
      throw new Error(`${String(name)} cannot be reached with Tab`);
    };
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      press(/^Choose a file$/),
    ]);
    await chooser.setFiles(short);
    await page.getByTestId('export').waitFor();
    await press(/^Export$/);
    await page.getByTestId('download').waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), press(/^Download$/)]);
    expect(await download.failure()).toBeNull();
  });

  it('never loses the focus to the body', async () => {
    const page = await openTab(context, stack.url);
    const heading = () => page.evaluate(() => document.activeElement?.matches('h1') ?? false);
    await choose(page);
    await until('choosing a file moved it to the heading', heading);
    await page.getByTestId('export').click();
    await page.getByTestId('percent').waitFor();
    await until('exporting moved it to the heading', heading);
    await page.getByTestId('cancel').focus();
    const progress = await percentOf(page);
    await until('the export went on', async () => (await percentOf(page)) > progress);
    expect(await heading()).toBe(false);
    await page.keyboard.press('Enter');
    await page.getByText('This export was cancelled.').waitFor();
    await until('cancelling moved it to the heading', heading);
  });

  it('names its parts for a screen reader', async () => {
    const page = await openTab(context, stack.url);
    expect(await page.title()).not.toBe('');
    expect(await page.locator('html').getAttribute('lang')).toMatch(/^[a-z]{2}/);
    expect(await page.getByRole('main').count()).toBe(1);
    expect(await page.getByRole('heading').count()).toBeGreaterThan(0);
    await startExport(page);
    const bar = page.getByRole('progressbar').first();
    expect(await bar.getAttribute('aria-label')).toContain('film.mp4');
    await until(
      'the bar says how far it is',
      async () => Number(await bar.getAttribute('aria-valuenow')) > 0,
    );
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('button, a, input, select, [role=progressbar]')]
        .filter((item) => item.checkVisibility())
        .filter((item) => {
          const labelled = item instanceof HTMLInputElement || item instanceof HTMLSelectElement;
          const label = labelled ? [...(item.labels ?? [])].map((l) => l.textContent).join('') : '';
          const named = item.getAttribute('aria-label') ?? item.getAttribute('aria-labelledby');
          return !(item.textContent.trim() || label.trim() || named || item.getAttribute('title'));
        })
        .map((item) => item.outerHTML),
    );
    expect(nameless).toEqual([]);
    await page.getByTestId('cancel').click();
  });

  it('fits a telephone without scrolling sideways', async () => {
    const page = await openTab(context, stack.url);
    await page.setViewportSize({ width: 360, height: 740 });
    await choose(page);
    await page.getByLabel('Trim end').waitFor();
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
  });
});

describe('the history', () => {
  it('shows an export of another tab, moves it and ends it, over one socket for all rows', async () => {
    const sockets: string[] = [];
    context.on('page', (page) => page.on('websocket', (socket) => sockets.push(socket.url())));
    const watching = await openTab(context, stack.url);
    await until('its feed is open', () => sockets.length > 0);
    const ofWatching = sockets.splice(0);
    watching.on('websocket', (socket) => ofWatching.push(socket.url()));
    const other = await openTab(context, stack.url);
    const watched = await cutFilm(folder, {
      seconds: 12,
      width: 1280,
      height: 720,
      name: 'there.mp4',
    });
    const before = await watching.getByTestId('row').count();
    await startExport(other, watched);
    const row = watching.getByTestId('row').filter({ hasText: 'there.mp4' });
    await row.waitFor();
    expect(await watching.getByTestId('row').first().textContent()).toContain('there.mp4');
    expect(await watching.getByTestId('row').count()).toBe(Math.min(before + 1, 13));
    const shown: number[] = [];
    await until('it is done', async () => {
      if ((await row.getAttribute('data-status')) === 'complete') return true;
      const value = await row
        .locator('progress')
        .getAttribute('value', { timeout: 500 })
        .catch(() => null);
      if (value !== null && shown.at(-1) !== Number(value)) shown.push(Number(value));
      return false;
    });
    expect(shown.length).toBeGreaterThan(1);
    expect(shown).toEqual(shown.toSorted((a, b) => a - b));
    await row.getByRole('link', { name: 'Download there.mp4' }).waitFor();
    expect(await row.count()).toBe(1);
    expect(ofWatching.map((url) => new URL(url).pathname)).toEqual(['/api/feed']);
  });
});

describe('an export that is deleted', () => {
  it('leaves the history of every tab, after a question, and its video is gone', async () => {
    const short = await cutFilm(folder, { seconds: 1, name: 'unwanted.mp4' });
    const page = await openTab(context, stack.url);
    await startExport(page, short);
    const link = await page.getByTestId('download').getAttribute('href');
    const other = await openTab(context, stack.url);
    const [row, there] = [page, other].map((tab) =>
      tab.getByTestId('row').filter({ hasText: 'unwanted.mp4' }),
    );
    await there?.waitFor();
    const bin = page.getByRole('button', { name: 'Delete unwanted.mp4' });
    await bin.click();
    await page.getByRole('button', { name: 'Keep it' }).click();
    expect(await row?.count()).toBe(1);
    await bin.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await row?.waitFor({ state: 'detached' });
    await there?.waitFor({ state: 'detached' });
    // It was the one that was shown.
    await page.getByTestId('file').waitFor({ state: 'attached' });
    expect(await page.evaluate(() => document.activeElement?.tagName)).not.toBe('BODY');
    expect((await fetch(new URL(link ?? '', stack.url))).status).toBe(404);
    await page.reload();
    await page.getByTestId('file').waitFor({ state: 'attached' });
    expect(await page.getByTestId('row').filter({ hasText: 'unwanted.mp4' }).count()).toBe(0);
  });
});

describe('the history of a page whose feed is refused', () => {
  it('says quietly that it stands still, and shows the list all the same', async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.routeWebSocket(/\/api\/feed/, (socket) => socket.close());
    await page.route(/\/api\/feed/, (route) =>
      route.fulfill({
        status: 401,
        json: { code: 'unauthorized', title: 'No token of the feed.', retryable: false },
      }),
    );
    await page.route(/\/api\/jobs\?/, (route) =>
      route.fulfill({ json: { data: [], next_cursor: null } }),
    );
    await page.goto(stack.url);
    await page.getByText('Nothing yet.').waitFor();
    await page
      .getByTestId('not-live')
      .filter({ hasText: 'This list does not update by itself: No token of the feed.' })
      .waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });
});

describe('a second export while the only renderer is at work', () => {
  it('says that every renderer is busy, and begins by itself', async () => {
    const first = await openTab(context, stack.url);
    await startExport(first);
    const second = await openTab(context, stack.url);
    await startExport(second);
    const doing = second.getByTestId('stage');
    await second.getByText('Every renderer is busy: yours is in line').waitFor();
    expect(await doing.getAttribute('data-stage')).toBe('waiting');
    await first.getByTestId('cancel').click();
    await until('it begins', async () => (await doing.getAttribute('data-stage')) === 'rendering');
    await second.getByTestId('cancel').click();
  });
});
