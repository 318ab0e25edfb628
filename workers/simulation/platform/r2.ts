import type { OutputManifest } from '@export-jobs/protocol';
import type { Stage } from '../stage.ts';

/** What R2 knows of a file: size and checksum are its own, the manifest is what it was told. */
export interface Stored {
  readonly key: string;
  readonly size: number;
  readonly sha256: string;
  readonly manifest: OutputManifest | null;
}

/** R2 as far as the object uses it (`R2Bucket`): strongly consistent, sometimes gone. */
export class R2 {
  readonly objects = new Map<string, Stored>();
  readonly #stage: Stage;
  readonly #storedAt = new Map<string, number>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Files of renderers that were there at that time and still are, but for one. */
  leftSince(at: number, but: string | null): string[] {
    return [...this.objects.keys()].filter(
      (key) => key.startsWith('out/') && key !== but && (this.#storedAt.get(key) ?? 0) <= at,
    );
  }

  /** Whether a whole output with this in its key was there at that time and still is. */
  hasOutput(part: string, at: number): boolean {
    return [...this.objects.values()].some(
      ({ key, size, manifest }) =>
        key.includes(part) && manifest?.size === size && (this.#storedAt.get(key) ?? 0) <= at,
    );
  }

  head(key: string) {
    return this.#exchange(() => {
      const stored = this.objects.get(key);
      return stored ? objectOf(stored) : null;
    });
  }

  delete(keys: string | string[]): Promise<void> {
    return this.#exchange(() => {
      for (const key of [keys].flat()) this.objects.delete(key);
      this.#stage.note('R2', 'deletes', keys);
    });
  }

  /** Stores an upload that takes a while, unless there is one under its key by then. */
  upload(stored: Stored, ms: number): Promise<boolean> {
    return this.#exchange(() => {
      if (this.objects.has(stored.key)) return false;
      this.#stage.note('R2', 'stores', stored.key);
      this.objects.set(stored.key, stored);
      this.#storedAt.set(stored.key, this.#stage.clock.now);
      return true;
    }, ms);
  }

  #exchange<T>(work: () => T, ms = 0): Promise<T> {
    const { clock, random, faults } = this.#stage;
    return new Promise((resolve, reject) => {
      clock.after(ms + random.int(5, 200), () => {
        if (faults.isDown('R2 down')) reject(new Error('R2 is not reachable (10001)'));
        else resolve(work());
      });
    });
  }
}

function objectOf({ key, size, sha256, manifest }: Stored) {
  const customMetadata = manifest ? { manifest: JSON.stringify(manifest) } : {};
  return { key, size, etag: sha256, customMetadata, checksums: { toJSON: () => ({ sha256 }) } };
}
