// Responsible for viewers that are pages in a browser: serves the page, opens it, and reads what it noted.
import { createServer, type Server } from 'node:http';
import path from 'node:path';
import { build } from 'esbuild';
import * as v from 'valibot';
import { Chromium, type Tab } from './chromium.ts';
import type { Sighting } from './sighting.ts';

const Notes = v.object({
  seen: v.array(
    v.object({
      at: v.number(),
      jobId: v.string(),
      seq: v.number(),
      status: v.string(),
      progress: v.number(),
      overall_progress: v.number(),
      attempt: v.number(),
    }),
  ),
  ended: v.boolean(),
  error: v.nullable(v.string()),
});

/** What the page has noted; nothing as long as its script has not run. */
const NOTES = `globalThis.notes ?? { seen: [], ended: false, error: null }`;

/** A page that watches one job, and what it has shown so far. */
export class Page {
  readonly tab: Tab;
  constructor(tab: Tab) {
    this.tab = tab;
  }

  async notes(): Promise<{ seen: Sighting[]; ended: boolean; error: string | null }> {
    return await this.tab.valueOf(NOTES, Notes);
  }
}

export class Pages {
  readonly chromium: Chromium;
  readonly #server: Server;

  private constructor(chromium: Chromium, server: Server) {
    this.chromium = chromium;
    this.#server = server;
  }

  /** Starts a browser, and serves the page at an origin of its own: `origin` must be allowed to call. */
  static async start(folder: string, port: number): Promise<Pages> {
    const html = `<!doctype html><title>…</title><script type="module">${await script()}</script>`;
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(html);
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return new Pages(await Chromium.launch(folder), server);
  }

  /** Opens the page on a job, at a server or a wire that leads there. */
  async open(base: string, jobId: string, token: string): Promise<Page> {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the page is not served');
    const asked = new URLSearchParams({ base, job: jobId, token });
    const tab = await this.chromium.open(`http://127.0.0.1:${address.port}/#${asked.toString()}`);
    return new Page(tab);
  }

  async close(): Promise<void> {
    await this.chromium.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function script(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [path.join(import.meta.dirname, 'page', 'watch.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'browser',
    minify: true,
    logLevel: 'error',
  });
  const [output] = outputFiles;
  if (!output) throw new Error('nothing was bundled');
  return output.text.replaceAll('</script', '<\\/script');
}
