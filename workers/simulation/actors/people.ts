import type { ExportJob } from '@export-jobs/protocol';
import { limitsOf } from '../../src/access/plans.ts';
import type { JobRequest } from '../../src/job/job.ts';
import type { ExportJobState } from '../../src/durable-objects/ExportJobState.ts';
import type { Policy } from '../../src/job/policy.ts';
import { insertIntent, knownJob } from '../../src/lib/intents.ts';
import { archivedJob } from '../../src/lib/job-views.ts';
import type { Env } from '../../src/lib/env.ts';
import { firstView } from '../../src/lib/first-view.ts';
import { Refusal } from '../../src/lib/respond.ts';
import type { Answer } from '../../src/lib/types.ts';
import { exchange } from '../network.ts';
import { Dead, Unreachable } from '../stage.ts';
import type { Cause, Stage } from '../stage.ts';

// The owner of the job: creates it as `routes/jobs.ts` does, repeats itself, cancels, and looks.

const TENANT = 'acme';

/** What the owner needs of the world. */
export interface Counter extends Stage {
  readonly id: string;
  readonly env: Env;
  readonly request: JobRequest;
  readonly policy: Policy;
  invoke<T>(cause: Cause, entrance: (object: ExportJobState) => T | Promise<T>): Promise<T>;
}

type Reply = Answer<{ job: ExportJob }>;

export class Owner {
  readonly #world: Counter;
  /** Whether a create was ever answered with yes; the job must exist from then on. */
  isAcknowledged = false;
  /** Whether a cancel was answered with yes. */
  hasCancelled = false;
  isDone = false;
  #lastChange = 0;

  constructor(world: Counter) {
    this.#world = world;
    void this.#live();
  }

  async #live(): Promise<void> {
    const { clock, random, faults } = this.#world;
    await this.#insist(() => this.#create('h1'), 12);
    if (faults.isOn('create repeated')) {
      await clock.sleep(random.skewed(10, 600_000));
      if (faults.strikes('create repeated', 0.7)) await this.#insist(() => this.#create('h1'), 3);
      await this.#createAnother();
    }
    for (let looks = random.int(0, 3); looks > 0; looks -= 1) {
      await clock.sleep(random.skewed(1000, 1_800_000));
      await this.#insist(() => this.#look(), 1);
    }
    if (faults.strikes('cancel', 0.4)) await this.#insist(() => this.#cancel(), 5);
    this.isDone = true;
  }

  /** Repeats a call until it is answered. */
  async #insist(call: () => Promise<Reply>, times: number): Promise<Reply | null> {
    const { clock, random } = this.#world;
    for (let tries = 0; tries < times; tries += 1) {
      try {
        const answer = await exchange(this.#world, { call });
        if (answer.ok) this.#see(answer.body.job);
        if (answer.ok || !answer.code.endsWith('unavailable')) return answer;
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
      }
      await clock.sleep(random.skewed(500, 30_000));
    }
    return null;
  }

  /** I7: what was answered once is never taken back. */
  #see(job: ExportJob): void {
    this.isAcknowledged = true;
    // What was only reported may be forgotten; what was committed may not.
    const change = Math.floor(job.seq / 1000);
    if (change < this.#lastChange) {
      this.#world.violated(
        'I7',
        `the owner sees number ${job.seq} after change ${this.#lastChange}`,
      );
    }
    this.#lastChange = change;
  }

  async #create(requestHash: string): Promise<Reply> {
    const { id, env, request, policy } = this.#world;
    try {
      const known = await knownJob(env.DB, id);
      if (known && known.requestHash !== requestHash) {
        return { ok: false, code: 'idempotency_conflict' };
      }
      if (known && known.rev > 0) return await this.#show();
      const made = { id, tenant: TENANT, request, requestHash };
      const view = firstView(made, policy);
      await insertIntent(
        env.DB,
        { ...made, view },
        { ...limitsOf({}, 'default'), lifeMs: policy.job_ms },
      );
      return await this.#world.invoke({ kind: 'create' }, (object) =>
        object.create(TENANT, request, requestHash),
      );
    } catch (error) {
      return refusal(error);
    }
  }

  /** The same key for another request. */
  async #createAnother(): Promise<void> {
    if (!this.isAcknowledged) return;
    const answer = await this.#insist(() => this.#create('h2'), 2);
    if (answer?.ok) this.#world.violated('I13', 'a second request has the key of the first');
  }

  #look(): Promise<Reply> {
    return this.#show();
  }

  async #show(): Promise<Reply> {
    const { id, env } = this.#world;
    try {
      const job =
        (await this.#world.invoke({ kind: 'look' }, (object) => object.view(TENANT))) ??
        (await archivedJob(env.DB, id, TENANT));
      return job ? { ok: true, body: { job } } : { ok: false, code: 'job_not_found' };
    } catch (error) {
      return refusal(error);
    }
  }

  async #cancel(): Promise<Reply> {
    const answer = await this.#world.invoke({ kind: 'cancel' }, (object) => object.cancel(TENANT));
    if (answer.ok) this.hasCancelled = true;
    return answer;
  }
}

function refusal(error: unknown): Reply {
  if (error instanceof Dead) throw error;
  if (error instanceof Refusal) return { ok: false, code: error.code };
  throw error;
}
