// Responsible for what the platform knows of its workers, for `/health`. Time comes in, in epoch ms.

/** After how long of silence a worker is no longer counted, ms. */
const FORGET_MS = 60_000;

interface Known {
  at: number;
  state: 'healthy' | 'unhealthy' | 'gone';
}

/** The workers of one endpoint, by what they last said. */
export class Workers {
  readonly #known = new Map<string, Known>();

  /** It asked for work. A worker that has left, or is not well, must ping to count again. */
  asked(workerId: string, now: number): void {
    this.#known.set(workerId, { at: now, state: this.#known.get(workerId)?.state ?? 'healthy' });
  }

  pinged(workerId: string, healthy: boolean, now: number): void {
    this.#known.set(workerId, { at: now, state: healthy ? 'healthy' : 'unhealthy' });
  }

  /** It asked to be stopped. */
  left(workerId: string, now: number): void {
    this.#known.set(workerId, { at: now, state: 'gone' });
  }

  /** `workers` of `/health`. Nobody starts workers here, so none is initializing or throttled. */
  health(busy: ReadonlySet<string>, now: number) {
    for (const [id, { at }] of this.#known) if (at <= now - FORGET_MS) this.#known.delete(id);
    const all = [...this.#known];
    const healthy = all.filter(([, { state }]) => state === 'healthy');
    const running = healthy.filter(([id]) => busy.has(id)).length;
    const ready = healthy.length;
    const unhealthy = all.filter(([, { state }]) => state === 'unhealthy').length;
    return { idle: ready - running, initializing: 0, ready, running, throttled: 0, unhealthy };
  }
}
