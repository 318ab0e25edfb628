import { RenderTicket } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Stage } from '../stage.ts';

const RunBody = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ input: RenderTicket, policy: v.object({ executionTimeout: v.number() }) }),
);

/** A process that the provider has started for a job. */
export interface Delivered {
  readonly isOver: boolean;
  /** The provider ends the process; it may take a moment to notice. */
  stop(): void;
}

interface RemoteJob {
  readonly id: string;
  readonly ticket: RenderTicket;
  readonly executionMs: number;
  isCancelled: boolean;
  readonly processes: Delivered[];
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

/** RunPod's client API, and its habit of handing a job out more than once or not at all. */
export class Provider {
  readonly #stage: Stage;
  readonly #jobs = new Map<string, RemoteJob>();
  readonly #deliver: (remoteId: string, ticket: RenderTicket) => Delivered;
  /** Called the moment that the object sends a hand-over. */
  readonly #onHandOver: (ticket: RenderTicket) => void;

  constructor(
    stage: Stage,
    deliver: (remoteId: string, ticket: RenderTicket) => Delivered,
    onHandOver: (ticket: RenderTicket) => void,
  ) {
    this.#stage = stage;
    this.#deliver = deliver;
    this.#onHandOver = onHandOver;
  }

  /** Whether a job can still make somebody work. */
  isActive(id: string): boolean {
    const job = this.#jobs.get(id);
    return job !== undefined && !job.isCancelled && job.processes.some(({ isOver }) => !isOver);
  }

  /** A request to the API, as `fetch` makes it. */
  fetch(url: string, init: { body?: unknown; signal?: AbortSignal | null } = {}) {
    const { clock, random, faults } = this.#stage;
    const [, action = '', id = ''] = /\/(run|cancel)(?:\/(.*))?$/.exec(url) ?? [];
    const ticket = action === 'run' ? v.parse(RunBody, init.body) : null;
    if (ticket) this.#onHandOver(ticket.input);
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
          : this.#cancel(id);
        if (faults.strikes('provider answer lost', 0.3)) return lose();
        const wait = faults.strikes('provider slow', 0.3) ? random.skewed(1000, 60_000) : 20;
        clock.after(wait, () => resolve(responseOf(answer)));
      });
    });
  }

  #run(ticket: RenderTicket, executionMs: number): Answer {
    const { faults } = this.#stage;
    if (faults.strikes('provider busy', 0.4)) return { status: 429, body: {} };
    if (faults.strikes('provider refuses', 0.05)) return { status: 400, body: {} };
    const id = `remote-${this.#jobs.size + 1}`;
    const job = { id, ticket, executionMs, isCancelled: false, processes: [] };
    this.#jobs.set(id, job);
    this.#stage.note('provider', 'takes', id, `attempt ${ticket.attempt}`);
    if (!faults.strikes('provider forgets', 0.1)) this.#handOut(job);
    return { status: 200, body: { id, status: 'IN_QUEUE' } };
  }

  #cancel(id: string): Answer {
    const job = this.#jobs.get(decodeURIComponent(id));
    if (!job) return { status: 404, body: {} };
    if (this.#stage.faults.strikes('provider busy', 0.4)) return { status: 429, body: {} };
    job.isCancelled = true;
    for (const process of job.processes) process.stop();
    return { status: 200, body: { id, status: 'CANCELLED' } };
  }

  #handOut(job: RemoteJob): void {
    const { clock, random, faults } = this.#stage;
    clock.after(random.skewed(300, 120_000), () => {
      if (job.isCancelled) return;
      const process = this.#deliver(job.id, job.ticket);
      job.processes.push(process);
      clock.after(job.executionMs, () => process.stop());
      if (job.processes.length < 3 && faults.strikes('provider redelivers', 0.5)) {
        clock.after(random.skewed(100, 300_000), () => this.#handOut(job));
      }
    });
  }
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
