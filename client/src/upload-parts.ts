import type { UploadedReply } from '@export-jobs/protocol';
import { apiError, askedWait, ExportApiError, isRetryable, parseJson } from './errors.ts';
import { isPartsReply, isUploadedReply } from './guards.ts';
import { bearer, jsonOf, type Guard, type Http } from './http.ts';
import { Md5, md5Of } from './md5.ts';
import { put } from './put.ts';
import { pause } from './span.ts';
import { backoff, reasonOf } from './timing.ts';
import type { UploadOptions, UploadSource } from './upload.ts';
import type { SentPart, UploadMemory, UploadSession } from './upload-store.ts';

/** How many parts are on their way at a time. */
const AT_ONCE = 4;

/** Whether the upload is no longer there to go on with. */
export const isForgotten = (error: unknown): boolean =>
  error instanceof ExportApiError &&
  (error.status === 401 || error.status === 404 || error.code === 'upload_mismatch');

/** One large file on its way, part by part. */
export class PartsUpload {
  readonly #http: Http;
  readonly #session: UploadSession;
  readonly #memory: UploadMemory;
  readonly #options: UploadOptions;
  readonly #size: number;
  readonly #read: (number: number) => Promise<Blob>;
  /** Aborts when any part has failed for good, or the caller says so. */
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Bytes of each part that have left, of those that are on their way or there. */
  readonly #progress = new Map<number, number>();

  constructor(
    http: Http,
    source: UploadSource,
    session: UploadSession,
    memory: UploadMemory,
    options: UploadOptions,
  ) {
    this.#http = http;
    this.#session = session;
    this.#memory = memory;
    this.#options = options;
    this.#size = source.size;
    this.#read = readerOf(source, session.parts.size);
    const { signal } = this.#over;
    this.#signal = options.signal ? AbortSignal.any([signal, options.signal]) : signal;
  }

  /**
   * Sends what is not there yet, and has the file put together.
   * @throws {ExportApiError}, {ExportTransportError}, or the signal's reason.
   */
  async run(): Promise<UploadedReply> {
    try {
      await this.#sendAll();
      const done = await this.#insist(() => this.#complete());
      await this.#memory.forget();
      return done;
    } catch (error) {
      this.#over.abort(error);
      if (isForgotten(error)) await this.#memory.forget();
      // What nobody can go on with need not wait to be swept up.
      else if (!this.#memory.lasts) this.#discard();
      throw error;
    }
  }

  async #sendAll(): Promise<void> {
    const { parts, sent } = this.#session;
    for (const { number } of sent) this.#progress.set(number, this.#sizeOf(number));
    if (sent.length > 0) this.#options.onResume?.(this.#tell());
    const there = new Set(sent.map(({ number }) => number));
    const missing = Array.from({ length: parts.count }, (_, i) => i + 1).filter(
      (number) => !there.has(number),
    );
    const lane = async () => {
      for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
        await this.#held();
        await this.#sendPart(number);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  }

  async #sendPart(number: number): Promise<void> {
    const body = await this.#read(number);
    const md5 = btoa(String.fromCharCode(...(await md5Of(body))));
    const etag = await this.#insist(() => this.#putPart(number, body, md5));
    this.#session.sent.push({ number, etag, md5 });
    await this.#memory.keep(this.#session);
  }

  /** Each try asks for an address of its own, so none is ever too old. */
  async #putPart(number: number, body: Blob, md5: string): Promise<string> {
    const { parts } = await this.#call('/parts', { numbers: [number] }, isPartsReply);
    const onSent = (sent: number) => {
      this.#progress.set(number, sent);
      this.#tell();
    };
    try {
      const answer = await put(this.#http, {
        url: this.#http.url(parts[0]?.url ?? ''),
        body,
        size: body.size,
        headers: { 'content-md5': md5 },
        onSent,
        signal: this.#signal,
      });
      return tagIn(answer);
    } catch (error) {
      onSent(0);
      throw error;
    }
  }

  #complete(): Promise<UploadedReply> {
    const sent = this.#session.sent.toSorted((a, b) => a.number - b.number);
    const parts = sent.map(({ number, etag }) => ({ number, etag }));
    return this.#call('/complete', { parts, checksum: checksumOf(sent) }, isUploadedReply);
  }

  /** A call that only the upload's own token allows. */
  #call<T>(tail: string, body: object, guard: Guard<T>): Promise<T> {
    const { upload_id, parts } = this.#session;
    const timeout = AbortSignal.timeout(this.#http.timing.request);
    return this.#http.send(
      this.#http.url(`/api/uploads/${upload_id}${tail}`),
      guard,
      this.#signal,
      {
        ...jsonOf(body, bearer(parts.token)),
        signal: AbortSignal.any([this.#signal, timeout]),
      },
    );
  }

  #discard(): void {
    const { upload_id, parts } = this.#session;
    const { fetch } = this.#http;
    const init = { method: 'DELETE', headers: bearer(parts.token) };
    fetch(this.#http.url(`/api/uploads/${upload_id}`), init).catch(() => undefined);
  }

  /** Repeats what may succeed later. A network that is gone is waited for, however long. */
  async #insist<T>(run: () => Promise<T>): Promise<T> {
    const { timing } = this.#http;
    const signal = this.#signal;
    for (let failures = 0; ;) {
      try {
        return await run();
      } catch (error) {
        if (signal.aborted) throw reasonOf(signal);
        if (!isOffline()) failures += 1;
        const wait = askedWait(error);
        const isOver = failures > 2 * timing.retries || wait > timing.patience;
        if (isOver || !isPassing(error)) throw error;
        await pause(Math.max(backoff(failures, timing), wait), timing, signal);
        while (isOffline() && !signal.aborted) await pause(timing.backoffMax, timing, signal);
        if (signal.aborted) throw reasonOf(signal);
      }
    }
  }

  async #held(): Promise<void> {
    await this.#options.pause?.passed(this.#signal);
    if (this.#signal.aborted) throw reasonOf(this.#signal);
  }

  /** Tells how far it is. @returns the same. */
  #tell(): number {
    let sent = 0;
    for (const bytes of this.#progress.values()) sent += bytes;
    this.#options.onProgress?.(sent, this.#size);
    return sent;
  }

  #sizeOf(number: number): number {
    const { size } = this.#session.parts;
    return Math.min(size, this.#size - (number - 1) * size);
  }
}

const isOffline = (): boolean => !(globalThis.navigator?.onLine ?? true);

/** 400: bytes that were damaged on their way, at R2. 403: an address that is too old. */
const isPassing = (error: unknown): boolean =>
  isRetryable(error) ||
  (error instanceof ExportApiError && (error.status === 400 || error.status === 403));

/** The tag of a part that has arrived, by R2's answer or the server's. */
function tagIn({ status, text, etag }: { status: number; text: string; etag: string | null }) {
  if (status < 200 || status > 299) throw apiError(status, parseJson(text));
  if (etag !== null) return etag.replaceAll('"', '');
  throw new ExportApiError({
    title: 'The answer shows no ETag.',
    detail: 'The bucket must expose the header ETag to this page (CORS).',
    status,
    code: 'unexpected_response',
    retryable: false,
  });
}

/** What R2 will reckon from the parts: the MD5 of their MD5s, and how many they are. */
function checksumOf(sent: readonly SentPart[]): string {
  const hash = new Md5();
  for (const { md5 } of sent) hash.update(Uint8Array.from(atob(md5), (c) => c.charCodeAt(0)));
  const hex = Array.from(hash.digest(), (byte) => byte.toString(16).padStart(2, '0'));
  return `${hex.join('')}-${sent.length}`;
}

/** Reads parts; of a stream each one once, in order. */
function readerOf(source: UploadSource, size: number): (number: number) => Promise<Blob> {
  if (source instanceof Blob) {
    return async (number) => source.slice((number - 1) * size, number * size);
  }
  const reader = source.stream.getReader();
  let rest: Uint8Array<ArrayBuffer> = new Uint8Array();
  const next = async (): Promise<Blob> => {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let missing = size; missing > 0;) {
      if (rest.length === 0) {
        const { value, done } = await reader.read();
        if (done) break;
        rest = new Uint8Array(value);
      }
      const piece = rest.subarray(0, missing);
      pieces.push(piece);
      rest = rest.subarray(piece.length);
      missing -= piece.length;
    }
    return new Blob(pieces);
  };
  let reading: Promise<unknown> = Promise.resolve();
  return () => {
    const before = reading;
    const blob = (async () => {
      await before;
      return next();
    })();
    reading = blob.catch(() => undefined);
    return blob;
  };
}
