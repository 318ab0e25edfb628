// Responsible for a real Chromium and what happens to a laptop: tabs are hidden and frozen, the network goes
// away, everything sleeps. Not by Playwright, whose pages are never hidden.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import sparticuz from '@sparticuz/chromium';
import * as v from 'valibot';
import { descendants } from '../../e2e/support/processes.ts';
import { DevTools } from './devtools.ts';

const START_MS = 30_000;

const Nothing = v.unknown();
const Context = v.looseObject({ browserContextId: v.string() });
const Target = v.looseObject({ targetId: v.string() });
const Session = v.looseObject({ sessionId: v.string() });
const Window = v.looseObject({ windowId: v.number() });
const Value = v.looseObject({ result: v.looseObject({ value: v.optional(v.unknown()) }) });

export class Chromium {
  readonly #process: ChildProcess;
  readonly #devTools: DevTools;

  /** Nothing that sleeps is left behind, however this process ends. */
  readonly #onExit = () => this.#signal('SIGKILL');

  private constructor(child: ChildProcess, devTools: DevTools) {
    this.#process = child;
    this.#devTools = devTools;
    process.once('exit', this.#onExit);
  }

  /** Starts it with a profile in a folder. */
  static async launch(folder: string): Promise<Chromium> {
    const profile = path.join(folder, 'chromium');
    // Root in a container has no sandbox to give.
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0'];
    const args = [...flags, `--user-data-dir=${profile}`, 'about:blank'];
    const child = spawn(await sparticuz.executablePath(), args, {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new Chromium(child, await DevTools.connect(await addressOf(child)));
  }

  /** Opens a page as a user of its own would, who has nothing in common with the others. */
  async open(url: string): Promise<Tab> {
    const dev = this.#devTools;
    const context = await dev.send('Target.createBrowserContext', {}, Context);
    const target = await dev.send('Target.createTarget', { url, ...context }, Target);
    const attached = { targetId: target.targetId, flatten: true };
    const { sessionId } = await dev.send('Target.attachToTarget', attached, Session);
    const { windowId } = await dev.send('Browser.getWindowForTarget', target, Window);
    const tab = new Tab(dev, sessionId, windowId);
    await tab.command('Network.enable');
    return tab;
  }

  /** The laptop sleeps: no process of the browser does anything, and no timer runs. */
  sleep(): void {
    this.#signal('SIGSTOP');
  }

  wake(): void {
    this.#signal('SIGCONT');
  }

  async close(): Promise<void> {
    this.#devTools.close();
    const ended = once(this.#process, 'exit');
    this.#signal('SIGKILL');
    await ended;
    process.off('exit', this.#onExit);
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    for (const { pid: one } of [...descendants(pid), { pid }]) {
      try {
        process.kill(one, signal);
      } catch {
        // It has just ended by itself.
      }
    }
  }
}

/** Where the DevTools protocol is spoken, which the browser prints when it is ready. */
async function addressOf({ stderr }: ChildProcess): Promise<string> {
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Chromium is silent: ${said}`)), START_MS);
    let said = '';
    stderr?.on('data', (bytes: Buffer) => {
      said += bytes.toString();
      const address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (address === undefined) return;
      clearTimeout(timer);
      resolve(address);
    });
  });
}

/** One page. */
export class Tab {
  readonly #devTools: DevTools;
  readonly #sessionId: string;
  readonly #windowId: number;

  constructor(devTools: DevTools, sessionId: string, windowId: number) {
    this.#devTools = devTools;
    this.#sessionId = sessionId;
    this.#windowId = windowId;
  }

  async command(method: string, params: object = {}): Promise<void> {
    await this.#devTools.send(method, params, Nothing, this.#sessionId);
  }

  /** What an expression is in the page, as plain data. */
  async valueOf<S extends v.GenericSchema>(
    expression: string,
    schema: S,
  ): Promise<v.InferOutput<S>> {
    const asked = { expression, returnByValue: true };
    const { result } = await this.#devTools.send('Runtime.evaluate', asked, Value, this.#sessionId);
    return v.parse(schema, result.value);
  }

  /** Nobody sees the page: its timers run rarely. */
  async hide(): Promise<void> {
    await this.#setWindow('minimized');
  }

  async show(): Promise<void> {
    await this.#setWindow('normal');
  }

  /** The browser stops all work of a page that nobody sees, as it does to save a battery. */
  async freeze(): Promise<void> {
    await this.hide();
    await this.command('Page.setWebLifecycleState', { state: 'frozen' });
  }

  async thaw(): Promise<void> {
    await this.command('Page.setWebLifecycleState', { state: 'active' });
    await this.show();
  }

  /** The browser has, or has no, network as far as this page can tell. */
  async setOffline(offline: boolean): Promise<void> {
    const rates = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await this.command('Network.emulateNetworkConditions', { offline, ...rates });
  }

  async #setWindow(windowState: 'minimized' | 'normal'): Promise<void> {
    const bounds = { windowId: this.#windowId, bounds: { windowState } };
    await this.#devTools.send('Browser.setWindowBounds', bounds, Nothing);
  }
}
