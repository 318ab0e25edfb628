import sparticuz from '@sparticuz/chromium';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { PATIENCE_MS } from './processes.ts';

/** A real Chromium that needs nothing installed. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = await sparticuz.executablePath();
  // Root in a container has no sandbox to give.
  return await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
}

/** A tab that fails its test when the page throws or writes an error to the console. */
export async function openTab(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  // An export may be what is waited for.
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => complaintsOf(page).push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaintsOf(page).push(message.text());
  });
  await page.goto(url);
  return page;
}

const complaints = new WeakMap<Page, string[]>();

/** What the page has complained about since it was opened. */
export function complaintsOf(page: Page): string[] {
  const known = complaints.get(page) ?? [];
  complaints.set(page, known);
  return known;
}
