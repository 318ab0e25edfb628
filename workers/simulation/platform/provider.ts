import { RenderTicket } from '@export-jobs/protocol';
import * as v from 'valibot';
import { Dead } from '../stage.ts';
import type { Stage } from '../stage.ts';

const RunBody = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    input: RenderTicket,
    webhook: v.string(),
    policy: v.object({ executionTimeout: v.number() }),
  }),
);
/** How often a webhook is sent, and with which pause, ms. */
const HOOK_TRIES = 3;
const HOOK_PAUSE_MS = 10_000;

/** A process that the provider has started for a job. */
export interface Delivered {
  readonly isOver: boolean;
  /** The provider ends the process; it may take a moment to notice. */
  stop(): void;
}

/** What the provider does to the rest of the world. */
export interface Surroundings {
  deliver(remoteId: string, ticket: RenderTicket): Delivered;
  /** Called the moment that the object sends a hand-over, and when that is surely not taken. */
  onHandOver(ticket: RenderTicket): void;
  onRefusal(): void;
  /** The webhook. @throws Dead when nobody answers. */
  hint(attempt: number, remoteId: string): Promise<void>;
}

interface RemoteJob {
  readonly id: string;
  readonly ticket: RenderTicket;
  readonly executionMs: number;
  readonly processes: Delivered[];
  /** Deliveries that are still to come. */
  due: number;
  isCancelled: boolean;
  /** The provider has lost it. */
  isForgotten: boolean;
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

/** RunPod's client API, and its habit of handing a job out more than once or not at all. */
export class Provider {
  readonly #stage: Stage;
  readonly #world: Surroundings;
  readonly #jobs = new Map<string, RemoteJob>();

  constructor(stage: Stage, world: Surroundings) {
    this.#stage = stage;
    this.#world = world;
  }

  /** Whether a job can still make somebody work. */
  isActive(id: string): boolean {
    const job = this.#jobs.get(id);
    return job !== undefined && !job.isCancelled && job.processes.some(({ isOver }) => !isOver);
  }

  /** Whether the provider says of a job that it has ended. */
  isOver(id: string): boolean {
    const job = this.#jobs.get(id);
    return job !== undefined && isTerminal(statusOf(job));
  }

  /** A process of a job has ended. */
  ended(id: string): void {
    const job = this.#jobs.get(id);
    if (job && isTerminal(statusOf(job))) this.#hook(job, HOOK_TRIES);
  }

  /** A request to the API, as `fetch` makes it. */
  fetch(url: string, init: { body?: unknown; signal?: AbortSignal | null } = {}) {
    const { clock, random, faults } = this.#stage;
    const [, action = '', id = ''] = /\/(run|cancel|status|health)(?:\/(.*))?$/.exec(url) ?? [];
    const ticket = action === 'run' ? v.parse(RunBody, init.body) : null;
    if (ticket) this.#world.onHandOver(ticket.input);
    return new Promise((resolve, reject) => {
      const lose = () => reject(new TypeError('fetch failed'));
      init.signal?.addEventListener('abort', lose);
      if (faults.isDown('provider down')) {
        clock.after(random.int(5, 20_000), () =>
          random.chance(0.5) ? lose() : resolve(responseOf({ status: 503, body: {} })),
        );
        return;
      }
      clock.after(random.int(20, 400), () => {
        const answer = ticket
          ? this.#run(ticket.input, ticket.policy.executionTimeout)
          : this.#answer(action, decodeURIComponent(id));
        if (faults.strikes('provider answer lost', 0.3)) return lose();
        const wait = faults.strikes('provider slow', 0.3) ? random.skewed(1000, 60_000) : 20;
        clock.after(wait, () => resolve(responseOf(answer)));
      });
    });
  }

  #run(ticket: RenderTicket, executionMs: number): Answer {
    const { faults } = this.#stage;
    const refusal = faults.strikes('provider busy', 0.4)
      ? 429
      : faults.strikes('provider refuses', 0.05) && 400;
    if (refusal) {
      this.#world.onRefusal();
      return { status: refusal, body: {} };
    }
    const id = `remote-${this.#jobs.size + 1}`;
    const isForgotten = faults.strikes('provider forgets', 0.1);
    const job = { id, ticket, executionMs, processes: [], due: 0, isCancelled: false, isForgotten };
    this.#jobs.set(id, job);
    this.#stage.note('provider', 'takes', id, `attempt ${ticket.attempt}`);
    if (!isForgotten) this.#handOut(job, [300, 120_000]);
    return { status: 200, body: { id, status: 'IN_QUEUE' } };
  }

  #answer(action: string, id: string): Answer {
    if (this.#stage.faults.strikes('provider busy', 0.4)) return { status: 429, body: {} };
    if (action === 'health') return { status: 200, body: { workers: this.#counts() } };
    const job = this.#jobs.get(id);
    if (!job || job.isForgotten) return { status: 404, body: {} };
    if (action === 'cancel') {
      job.isCancelled = true;
      for (const process of job.processes) process.stop();
    }
    return { status: 200, body: { id, status: statusOf(job) } };
  }

  #counts() {
    const { random } = this.#stage;
    return { throttled: random.int(0, 1), initializing: random.int(0, 1) };
  }

  #handOut(job: RemoteJob, [from, to]: readonly [number, number]): void {
    const { clock, random, faults } = this.#stage;
    job.due += 1;
    clock.after(random.skewed(from, to), () => {
      job.due -= 1;
      if (job.isCancelled) return;
      const process = this.#world.deliver(job.id, job.ticket);
      job.processes.push(process);
      clock.after(job.executionMs, () => process.stop());
      if (job.processes.length < 3 && faults.strikes('provider redelivers', 0.5)) {
        this.#handOut(job, [100, 300_000]);
      }
    });
  }

  #hook(job: RemoteJob, tries: number): void {
    const { clock, random, faults } = this.#stage;
    if (faults.strikes('webhook lost', 0.3)) return;
    if (faults.strikes('webhook doubled', 0.3)) clock.after(random.skewed(100, 60_000), send);
    clock.after(random.skewed(50, 20_000), send);
    const hint = () => this.#world.hint(job.ticket.attempt, job.id);
    const again = () => clock.after(HOOK_PAUSE_MS, () => this.#hook(job, tries - 1));
    function send(): void {
      hint().catch((error: unknown) => {
        if (!(error instanceof Dead)) throw error;
        if (tries > 1) again();
      });
    }
  }
}

function statusOf({ isCancelled, processes, due }: RemoteJob): string {
  if (isCancelled) return 'CANCELLED';
  if (processes.some(({ isOver }) => !isOver)) return 'IN_PROGRESS';
  return due > 0 || processes.length === 0 ? 'IN_QUEUE' : 'FAILED';
}

function isTerminal(status: string): boolean {
  return status === 'CANCELLED' || status === 'FAILED';
}

function responseOf({ status, body }: Answer) {
  return {
    status,
    ok: status < 300,
    headers: { get: (name: string) => (name === 'retry-after' && status === 429 ? '20' : null) },
    body: { cancel: async () => undefined },
    json: async () => body,
  };
}
