import type { UploadGate } from './upload.ts';

/** Holds an upload, and lets it go on. What is on its way when it is held still arrives. */
export class UploadPause implements UploadGate {
  #held: PromiseWithResolvers<void> | null = null;

  get paused(): boolean {
    return this.#held !== null;
  }

  pause(): void {
    this.#held ??= Promise.withResolvers();
  }

  resume(): void {
    this.#held?.resolve();
    this.#held = null;
  }

  async passed(signal: AbortSignal): Promise<void> {
    if (this.#held === null || signal.aborted) return;
    const aborted = Promise.withResolvers<void>();
    const stop = () => aborted.resolve();
    signal.addEventListener('abort', stop);
    await Promise.race([this.#held.promise, aborted.promise]);
    signal.removeEventListener('abort', stop);
  }
}
