// Responsible for one client of the API, as a careful one behaves on a bad network: it repeats what was
// not answered, and what was. Notes what it was promised.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { JobPlan } from './plan.ts';
import { JobView, parsed } from './view.ts';

const CALL_TIMEOUT_MS = 8000;
const PAUSE_MS = 400;

const Upload = v.looseObject({ upload_id: v.string(), url: v.string() });
const Reply = v.looseObject({ job: JobView });

/** What one client was told. */
export interface Promised {
  readonly plan: JobPlan;
  /** Every id that a create of this one key was answered with. */
  readonly ids: Set<string>;
  /** A create or cancel that was refused though nothing was wrong with it. */
  readonly refusals: string[];
  /** Whether a cancel was answered as done. */
  cancelled: boolean;
  /** Ms that this job's uploaded bytes should give, as frames. */
  readonly frames: number | null;
}

export interface Source {
  readonly path: string;
  /** Frames of the export that this source gives; null when it gives none. */
  readonly frames: number | null;
}

/** Creates the job of a plan, sends the create again when told to, and cancels. */
export class Client {
  readonly promised: Promised;
  readonly #base: string;
  readonly #source: Source;
  readonly #until: AbortSignal;

  /** @param until when even the most patient client gives up. */
  constructor(base: string, plan: JobPlan, source: Source, until: AbortSignal) {
    this.#base = base;
    this.#source = source;
    this.#until = until;
    const { frames } = source;
    this.promised = { plan, ids: new Set(), refusals: [], cancelled: false, frames };
  }

  /**
   * Does everything that the plan says.
   * @param onAccepted gets the job's id once, when it is first known.
   */
  async run(onAccepted: (id: string) => void): Promise<void> {
    const { plan } = this.promised;
    const uploadId = await this.#upload();
    if (uploadId === null) return;
    const again = plan.repeats.map(async (ms) => {
      await this.#pause(ms);
      await this.#create(uploadId);
    });
    const id = await this.#create(uploadId);
    if (id !== null) onAccepted(id);
    if (id !== null && plan.cancelAfter !== null) {
      await this.#pause(plan.cancelAfter);
      await this.#cancel(id);
    }
    await Promise.all(again);
  }

  /** @returns null when time was up. */
  async #upload(): Promise<string | null> {
    const bytes = await readFile(this.#source.path);
    const announced = { filename: `${this.promised.plan.key}.mp4`, size: bytes.byteLength };
    return await this.#insist(async () => {
      const ticket = await this.#post('/api/uploads', announced);
      const upload = parsed(Upload, ticket.text);
      if (!upload) return undefined;
      for (let tries = 0; tries < 5; tries += 1) {
        const { status } = await this.#call(upload.url, { method: 'PUT', body: bytes });
        // 409: an earlier try arrived, and only its answer was lost.
        if (status === 200 || status === 409) return upload.upload_id;
        await this.#pause(PAUSE_MS);
      }
      return undefined;
    });
  }

  async #create(uploadId: string): Promise<string | null> {
    const { plan, ids, refusals } = this.promised;
    return await this.#insist(async () => {
      const body = { input: { upload_id: uploadId }, options: plan.options };
      const { status, text } = await this.#post('/api/jobs', body, plan.key);
      const reply = parsed(Reply, text);
      if (status === 201 && reply) {
        ids.add(reply.job.id);
        return reply.job.id;
      }
      if (status >= 400 && status < 500) {
        refusals.push(`create: ${status} ${text.slice(0, 200)}`);
        return null;
      }
      return undefined;
    });
  }

  async #cancel(id: string): Promise<void> {
    await this.#insist(async () => {
      const { status, text } = await this.#post(`/api/jobs/${id}/cancel`, {});
      if (status === 200) this.promised.cancelled = parsed(Reply, text)?.job.status === 'cancelled';
      // 409: it had ended otherwise. 404 or 405 to a job that is there: cancelling is not offered.
      return status === 200 || status === 409 || status === 404 || status === 405
        ? true
        : undefined;
    });
  }

  /** Repeats until there is a result. @returns null when it is that, or time was up. */
  async #insist<T>(attempt: () => Promise<T | undefined>): Promise<T | null> {
    while (!this.#until.aborted) {
      const result = await attempt();
      if (result !== undefined) return result;
      await this.#pause(PAUSE_MS);
    }
    return null;
  }

  async #post(path: string, body: object, key?: string) {
    const headers = {
      'content-type': 'application/json',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    };
    return await this.#call(path, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  /** @returns status 0 when there was no answer. */
  async #call(path: string, init: RequestInit): Promise<{ status: number; text: string }> {
    try {
      const signal = AbortSignal.any([this.#until, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
      const response = await fetch(new URL(path, this.#base), { ...init, signal });
      return { status: response.status, text: await response.text() };
    } catch {
      return { status: 0, text: '' };
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#until }).catch(() => undefined);
  }
}
