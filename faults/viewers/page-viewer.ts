// Responsible for one viewer that is a page in a browser: it is opened, hidden, frozen and taken offline.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Spectator } from './judge.ts';
import type { Page, Pages } from './pages.ts';
import type { PagePlan, PageTrouble } from './plan.ts';
import { Storm } from './storm.ts';
import type { Watcher } from './watcher.ts';
import { Wire } from './wire.ts';

/** How often the page is asked whether it has seen the end, ms. */
const LOOK_MS = 500;

export interface PageViewerOptions {
  readonly plan: PagePlan;
  readonly jobId: string;
  readonly token: string;
  /** The server's. */
  readonly port: number;
  readonly pages: Pages;
}

export class PageViewer implements Watcher {
  readonly suffered: Map<string, number>;
  readonly #options: PageViewerOptions;
  readonly #storm = new Storm();
  readonly #over = new AbortController();
  readonly #healed = new AbortController();
  #arrivedAt: number | null = null;
  #wire: Wire | undefined;
  #page: Page | undefined;
  #isDone = false;

  constructor(options: PageViewerOptions) {
    this.#options = options;
    this.suffered = this.#storm.suffered;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  async run(): Promise<void> {
    const { plan, port, pages, jobId, token } = this.#options;
    await this.#pause(plan.arrivesAt);
    if (this.#over.signal.aborted) return;
    const wire = await Wire.start({ port });
    this.#wire = wire;
    const page = await pages.open(wire.url, jobId, token);
    this.#page = page;
    this.#arrivedAt = Date.now();
    this.#storm.blow(wire, plan.faults, plan.arrivesAt, () => this.#isDone);
    const troubles = plan.troubles.map((trouble) => this.#suffer(trouble, page));
    await Promise.all([this.#untilEnded(page), ...troubles]);
  }

  heal(): void {
    this.#storm.calm();
    this.#wire?.heal();
    this.#healed.abort();
  }

  async close(): Promise<void> {
    this.heal();
    this.#over.abort();
    await this.#wire?.close();
  }

  async spectator(): Promise<Spectator | null> {
    const { plan, jobId } = this.#options;
    if (this.#arrivedAt === null || !this.#page) return null;
    const { seen, error } = await this.#page.notes();
    return {
      name: plan.name,
      transport: 'page',
      jobId,
      arrivedAt: this.#arrivedAt,
      readyAt: null,
      sightings: seen,
      refusals: error === null ? [] : [error],
    };
  }

  async #untilEnded(page: Page): Promise<void> {
    while (!this.#over.signal.aborted && !(await page.notes()).ended) await this.#pause(LOOK_MS);
    this.#isDone = true;
  }

  async #suffer({ at, kind, ms }: PageTrouble, { tab }: Page): Promise<void> {
    await this.#pause(at - this.#options.plan.arrivesAt, this.#healed.signal);
    if (this.#healed.signal.aborted || this.#isDone) return;
    this.suffered.set(kind, (this.suffered.get(kind) ?? 0) + 1);
    if (kind === 'hide') await tab.hide();
    else if (kind === 'freeze page') await tab.freeze();
    else await tab.setOffline(true);
    await this.#pause(ms, this.#healed.signal);
    if (kind === 'offline') await tab.setOffline(false);
    else if (kind === 'freeze page') await tab.thaw();
    else await tab.show();
  }

  async #pause(ms: number, signal = this.#over.signal): Promise<void> {
    await sleep(Math.max(0, ms), undefined, { signal }).catch(() => undefined);
  }
}
