// The hooks as React's development build and StrictMode treat them, in a real browser.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { build } from 'esbuild';
import type { Browser, BrowserContext, CDPSession, Page, WebSocket } from 'playwright-core';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inRoot } from '../scripts/lib/paths.ts';
import type { Stack } from '../scripts/stack.ts';
import { launchBrowser, openTab } from './support/browser.ts';
import type { Hooks } from './support/hook-page.ts';
import { post } from './support/http.ts';
import { Link } from './support/link.ts';
import { until } from './support/processes.ts';
import { freshStack } from './support/stack.ts';

declare global {
  // In the page.
  const hooks: Hooks;
}

let stack: Stack;
let link: Link;
let browser: Browser;
let site: Awaited<ReturnType<typeof serve>>;
/** What the Worker's log says of each request. */
const calls: string[] = [];

beforeAll(async () => {
  const onLine = (part: string, line: string) => part === 'worker' && calls.push(line);
  stack = await freshStack({ renderers: 0, onLine });
  link = await Link.to(stack.port);
  browser = await launchBrowser();
  site = await serve(await bundle());
});
afterAll(async () => {
  await browser.close();
  await site.close();
  await link.close();
  await stack.close();
});

let context: BrowserContext;
let page: Page;
let sockets: WebSocket[];
let complaints: string[];
beforeEach(async () => {
  sockets = [];
  complaints = [];
  context = await browser.newContext();
  context.on('page', (opened) => {
    opened.on('websocket', (socket) => sockets.push(socket));
    opened.on('pageerror', (error) => complaints.push(String(error)));
    opened.on('console', (message) => {
      if (message.type() !== 'info') complaints.push(`${message.type()}: ${message.text()}`);
    });
  });
  page = await openTab(context, `${site.url}/?server=${link.url}`);
  await page.waitForFunction(() => 'hooks' in window);
});
afterEach(async () => {
  await context.close();
  expect(complaints).toEqual([]);
});

/** The page's script with React's development build. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [inRoot('e2e', 'support', 'hook-page.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    define: { 'process.env.NODE_ENV': '"development"' },
  });
  return outputFiles[0]?.text ?? '';
}

/** Serves a page with nothing but a script, from an origin of its own. */
async function serve(script: string) {
  const html =
    '<!doctype html><link rel=icon href=data:,><body><script type=module src=/page.js></script>';
  const server = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : html);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('not listening');
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

/** A job made by hand, and its calls. */
async function newJob() {
  const id = `hook-${crypto.randomUUID()}`;
  const base = `${stack.url}/api/jobs/${id}/do`;
  const say = (name: string, body: object) => post(`${base}/${name}`, body, v.unknown());
  await say('init', { id, status: 'pending', progress: 0 });
  await say('progress', { progress: 1 });
  const Status = v.object({ connections: v.number() });
  return {
    id,
    report: (progress: number) => say('progress', { progress }),
    complete: () => say('complete', { output_video_key: 'film.mp4' }),
    /** How many viewers the object has. */
    async viewers() {
      const status: unknown = await (await fetch(`${base}/status`)).json();
      return v.parse(Status, status).connections;
    },
    /** Waits until the server has logged that it was asked for so many sockets, and expects no more. */
    async dialled(count: number): Promise<void> {
      const dials = () => calls.filter((line) => line.includes(`/api/jobs/${id}/ws`)).length;
      await until(`${count} dials are logged`, () => dials() >= count);
      expect(dials()).toBe(count);
    },
  };
}

/** Waits until the bars say this. */
async function shows(...texts: string[]): Promise<void> {
  await expect
    .poll(() => page.getByRole('progressbar').allTextContents(), { timeout: 60_000 })
    .toEqual(texts);
}

/** Waits until every socket of the page is closed. */
async function hungUp(): Promise<void> {
  await until('every socket is closed', () => sockets.every((socket) => socket.isClosed()));
}

async function inspected(): Promise<CDPSession> {
  const cdp = await context.newCDPSession(page);
  await cdp.send('Performance.enable');
  return cdp;
}

/** What is counted; `objects` is whatever a script can hold: functions, lists, maps and promises too. */
const KINDS = ['watches', 'sockets', 'listeners', 'nodes', 'objects'] as const;
type Held = Readonly<Record<(typeof KINDS)[number], number>>;

/** What the page holds in memory after everything was collected that can be. */
async function heldBy(cdp: CDPSession): Promise<Held> {
  const countOf = async (prototype: string) => {
    const { result } = await cdp.send('Runtime.evaluate', { expression: prototype });
    const prototypeObjectId = result.objectId ?? '';
    const { objects } = await cdp.send('Runtime.queryObjects', { prototypeObjectId });
    const objectId = objects.objectId ?? '';
    const functionDeclaration = 'function () { return this.length }';
    const counted = await cdp.send('Runtime.callFunctionOn', {
      objectId,
      functionDeclaration,
      returnByValue: true,
    });
    await cdp.send('Runtime.releaseObject', { objectId });
    return v.parse(v.number(), counted.result.value);
  };
  await cdp.send('HeapProfiler.collectGarbage');
  const { metrics } = await cdp.send('Performance.getMetrics');
  const metric = (name: string) => metrics.find((one) => one.name === name)?.value ?? Number.NaN;
  return {
    watches: await countOf('hooks.ExportWatch.prototype'),
    sockets: await countOf('WebSocket.prototype'),
    listeners: metric('JSEventListeners'),
    nodes: metric('Nodes'),
    objects: await countOf('Object.prototype'),
  };
}

/** The same once no socket is left: one that closes is held until its server has agreed. */
async function leftIn(cdp: CDPSession): Promise<Held> {
  return await until('no socket is left', async () => {
    const held = await heldBy(cdp);
    return held.sockets === 0 && held;
  });
}

/**
 * Expects that so many mounts have left nothing. Chromium may hold on to the root that was unmounted last: one
 * mount more pushes that out, while what is held of each would only become more.
 */
async function expectNothingLeft(
  { before, mounted, cdp }: { before: Held; mounted: number; cdp: CDPSession },
  another: () => Promise<void>,
): Promise<void> {
  // The runtime's own come and go; of each mount there would be one at least.
  const most = { ...before, watches: 0, objects: before.objects + mounted / 2 };
  let held = await leftIn(cdp);
  const growing = () => KINDS.filter((kind) => held[kind] > most[kind]);
  for (let n = 0; n < 10 && growing().length > 0; n += 1) {
    await another();
    held = await leftIn(cdp);
  }
  expect(growing(), JSON.stringify({ before, held })).toEqual([]);
}

describe('components that watch a job', () => {
  it('dial once for all of them, and hang up with the last one', async () => {
    const job = await newJob();
    const unmounts = await page.evaluateHandle((id) => [hooks.mount(id), hooks.mount(id)], job.id);
    const unmount = () => unmounts.evaluate((all) => all.pop()?.());
    await shows('1 %', '1 %', '1 %', '1 %');
    await unmount();
    await job.report(20);
    await shows('20 %', '20 %');
    expect([sockets.length, await job.viewers()]).toEqual([1, 1]);
    await unmount();
    await until('the server has nobody left', async () => (await job.viewers()) === 0);
    await hungUp();
    expect(sockets).toHaveLength(1);
    await job.dialled(1);
  });

  it('render at most once a frame, however many reports come, and show the last', async () => {
    const job = await newJob();
    await page.evaluate((id) => void hooks.mount(id), job.id);
    await shows('1 %', '1 %');
    await page.evaluate(() => {
      hooks.renders.length = 0;
      hooks.heard.length = 0;
    });
    link.hold();
    for (let progress = 31; progress <= 90; progress += 1) await job.report(progress);
    link.release();
    await shows('90 %', '90 %');
    const { renders, heard } = await page.evaluate(() => hooks);
    expect(renders).toEqual([...new Set(renders)]);
    expect(heard).toHaveLength(60);
    // As many frames as it takes a busy machine to draw them, but several reports were heard in one.
    expect(new Set(heard).size).toBeLessThan(heard.length / 2);
  });

  it('show the end of the job, and need no connection after it', async () => {
    const job = await newJob();
    await page.evaluate((id) => void hooks.mount(id), job.id);
    await shows('1 %', '1 %');
    await job.complete();
    await shows('100 %', '100 %');
    const [bar] = await page.getByRole('progressbar').all();
    expect(await bar?.getAttribute('aria-valuetext')).toBe('done');
    expect(await bar?.getAttribute('title')).toBe('closed');
    await until('the server has nobody left', async () => (await job.viewers()) === 0);
    expect(sockets).toHaveLength(1);
    await job.dialled(1);
  });

  it('leave nothing behind after a hundred mounts', async () => {
    const job = await newJob();
    const cdp = await inspected();
    const mounts = (times: number) =>
      page.evaluate(([id, times]) => hooks.cycle(id, times, '[title=live]'), [
        job.id,
        times,
      ] as const);
    // What is made once and kept, the browser's own tables too, is there after the first ones.
    await mounts(150);
    const before = await leftIn(cdp);
    await mounts(100);
    await expectNothingLeft({ before, mounted: 100, cdp }, () => mounts(1));
    await until('the server has nobody left', async () => (await job.viewers()) === 0);
    await hungUp();
    expect(sockets.length).toBeGreaterThanOrEqual(250);
    await job.dialled(sockets.length);
  });

  it('leave nothing behind when they are gone before their dial was answered', async () => {
    const job = await newJob();
    const cdp = await inspected();
    link.cut();
    const unmount = await page.evaluateHandle((id) => hooks.mount(id), job.id);
    await until('it dials', () => sockets.length === 1);
    await unmount.evaluate((now) => now());
    await unmount.dispose();
    link.mend();
    await leftIn(cdp);

    const mounts = (times: number) =>
      page.evaluate(([id, times]) => hooks.cycle(id, times, '[role=progressbar]'), [
        job.id,
        times,
      ] as const);
    await mounts(10);
    const before = await leftIn(cdp);
    const dialled = sockets.length;
    await mounts(50);
    await expectNothingLeft({ before, mounted: 50, cdp }, () => mounts(1));
    expect(sockets.length).toBeGreaterThan(dialled);
    await until('the server has nobody left', async () => (await job.viewers()) === 0);
    // The browser says so of every socket that is closed while it is being opened.
    complaints = complaints.filter(
      (text) => !text.includes('before the connection is established'),
    );
  });
});

describe('an upload', () => {
  const phase = () => page.locator('output').textContent();

  it('tells what becomes of it, though its component was mounted twice', async () => {
    await page.evaluate(() => void hooks.mountUpload());
    await until('it is idle', async () => (await phase()) === 'idle');
    const upload = await page.evaluate(() => hooks.startUpload('a film'));
    expect(upload).toMatchObject({ size: 6 });
    await until('it is uploaded', async () => (await phase()) === 'uploaded');
  });

  it('stops with its component', async () => {
    const unmount = await page.evaluateHandle(() => hooks.mountUpload());
    await until('it is idle', async () => (await phase()) === 'idle');
    link.cut();
    const failed = page.waitForEvent('requestfailed');
    const upload = page.evaluate(() => hooks.startUpload('a film'));
    await until('it is uploading', async () => (await phase()) === 'uploading');
    await unmount.evaluate((now) => now());
    expect(await upload).toBeNull();
    expect((await failed).failure()?.errorText).toBe('net::ERR_ABORTED');
    link.mend();
  });
});
