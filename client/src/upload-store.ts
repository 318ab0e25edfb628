import { parseJson } from './errors.ts';
import { isPartsPlan } from './guards.ts';

// Responsible for what a page leaves behind of an upload, so that a later one can go on with it. It is a
// convenience: a store that fails only means that the upload starts over.

/** Keeps short texts. */
export interface UploadStore {
  get(key: string): string | null | Promise<string | null>;
  set(key: string, value: string): void | Promise<void>;
  delete(key: string): void | Promise<void>;
}

/** A part that has arrived, as `complete` must name it; its MD5 in base 64. */
export interface SentPart {
  readonly number: number;
  readonly etag: string;
  readonly md5: string;
}

/** All that is needed to go on with an upload. `token` opens nothing but this upload. */
export interface UploadSession {
  readonly upload_id: string;
  readonly expires_at: number;
  readonly parts: { readonly size: number; readonly count: number; readonly token: string };
  readonly sent: SentPart[];
}

const PREFIX = 'export-jobs.upload ';

/** What tells a file that is chosen again from another one; null when nothing does. */
export function keyOfFile(server: string, source: object): string | null {
  if (typeof File === 'undefined' || !(source instanceof File)) return null;
  const { name, size, lastModified } = source;
  return PREFIX + JSON.stringify([server, name, size, lastModified]);
}

/** Where a page keeps such things, or null where there is no page. */
export function storeOfPage(): UploadStore | null {
  try {
    const { localStorage: kept } = globalThis;
    if (kept === undefined) return null;
    for (const key of Object.keys(kept)) {
      const isOurs = key.startsWith(PREFIX);
      if (isOurs && !isAlive(parse(kept.getItem(key)))) kept.removeItem(key);
    }
    return {
      get: (key) => kept.getItem(key),
      set: (key, value) => kept.setItem(key, value),
      delete: (key) => kept.removeItem(key),
    };
  } catch {
    // A page may be forbidden to keep anything.
    return null;
  }
}

/** Where one upload is remembered. Nothing here throws. */
export class UploadMemory {
  readonly #store: UploadStore | null;
  readonly #key: string;

  constructor(store: UploadStore | null, key: string | null) {
    this.#store = key === null ? null : store;
    this.#key = key ?? '';
  }

  /** Whether a later page would find it. */
  get lasts(): boolean {
    return this.#store !== null;
  }

  async recall(): Promise<UploadSession | null> {
    const text = await this.#attempt((store) => store.get(this.#key));
    const session = parse(text);
    return isAlive(session) ? session : null;
  }

  async keep(session: UploadSession): Promise<void> {
    await this.#attempt((store) => store.set(this.#key, JSON.stringify(session)));
  }

  async forget(): Promise<void> {
    await this.#attempt((store) => store.delete(this.#key));
  }

  async #attempt<T>(act: (store: UploadStore) => T | Promise<T>): Promise<T | null> {
    try {
      return this.#store && (await act(this.#store));
    } catch {
      return null;
    }
  }
}

const parse = (text: string | null): unknown => parseJson(text ?? '');

const isAlive = (value: unknown): value is UploadSession =>
  isSession(value) && value.expires_at > Date.now();

function isSession(value: unknown): value is UploadSession {
  return (
    typeof value === 'object' &&
    value !== null &&
    'expires_at' in value &&
    typeof value.expires_at === 'number' &&
    'sent' in value &&
    Array.isArray(value.sent) &&
    'parts' in value &&
    isPartsPlan(value.parts)
  );
}
