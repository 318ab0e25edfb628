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
    /** How many sockets were asked of the server. */
    dials: () => calls.filter((line) => line.includes(`/api/jobs/${id}/ws`)).length,
  };
}

/** Waits until the bars say this. */
async function shows(...texts: string[]): Promise<void> {
  await expect
    .poll(() => page.getByRole('progressbar').allTextContents(), { timeout: 20_000 })
    .toEqual(texts);
}

async function inspected(): Promise<CDPSession> {
  const cdp = await context.newCDPSession(page);
  await cdp.send('Performance.enable');
  return cdp;
}

interface Held {
  readonly watches: number;
  readonly sockets: number;
  readonly listeners: number;
  readonly nodes: number;
  /** Bytes. */
  readonly heap: number;
}

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
  // The page's own notes are no part of what the hooks hold.
  await cdp.send('Runtime.evaluate', { expression: 'hooks.renders.length = 0' });
  await cdp.send('HeapProfiler.collectGarbage');
  const { metrics } = await cdp.send('Performance.getMetrics');
  const metric = (name: string) => metrics.find((one) => one.name === name)?.value ?? Number.NaN;
  return {
    watches: await countOf('hooks.ExportWatch.prototype'),
    sockets: await countOf('WebSocket.prototype'),
    listeners: metric('JSEventListeners'),
    nodes: metric('Nodes'),
    heap: metric('JSHeapUsedSize'),
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
 * The same once it is no more than before, but for the heap. Chromium may hold on to the root that was unmounted
 * last: `another` pushes that out, while what is held of each would only become more.
 */
async function leftAs(before: Held, cdp: CDPSession, another: () => Promise<void>): Promise<Held> {
  let held = await leftIn(cdp);
  const isAsBefore = () => held.listeners === before.listeners && held.nodes === before.nodes;
  for (let n = 0; n < 10 && !isAsBefore(); n += 1) {
    await another();
    held = await leftIn(cdp);
  }
  expect({ ...held, heap: null }).toEqual({ ...before, watches: 0, heap: null });
  return held;
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
    expect([sockets.length, job.dials(), await job.viewers()]).toEqual([1, 1, 1]);
    await unmount();
    await until('the server has nobody left', async () => (await job.viewers()) === 0);
    await until('the socket is closed', () => sockets.every((socket) => socket.isClosed()));
    expect([sockets.length, job.dials()]).toEqual([1, 1]);
  });

  it('render at most once a frame, however many reports come, and show the last', async () => {
    const job = await newJob();
    await page.evaluate((id) => void hooks.mount(id), job.id);
    await shows('1 %', '1 %');
    let heard = 0;
    sockets[0]?.on('framereceived', () => (heard += 1));
    await page.evaluate(() => void hooks.renders.splice(0));
    link.hold();
    for (let progress = 31; progress <= 90; progress += 1) await job.report(progress);
    link.release();
    await shows('90 %', '90 %');
    const renders = await page.evaluate(() => hooks.renders);
    expect(renders).toEqual([...new Set(renders)]);
    expect(heard).toBe(60);
    expect(renders.length).toBeLessThan(heard / 2);
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
    expect([sockets.length, job.dials()]).toEqual([1, 1]);
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
    const after = await leftAs(before, cdp, () => mounts(1));
    expect((after.heap - before.heap) / 100).toBeLessThan(1024);
    expect(sockets.length).toBeGreaterThanOrEqual(250);
    expect([job.dials(), await job.viewers()]).toEqual([sockets.length, 0]);
    expect(sockets.filter((socket) => !socket.isClosed())).toEqual([]);
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
    await leftAs(before, cdp, () => mounts(1));
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
