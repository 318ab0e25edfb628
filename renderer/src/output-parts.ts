// Responsible for storing a large output by parts. Where the parts go is asked of the server, some at a time,
// so that a renderer that was fenced off is stopped soon; the addresses may be those of R2 itself.
import { OutputUploadReply, PartsReply, type PartList } from '@export-jobs/protocol';
import * as v from 'valibot';
import { putFile, type PutReply } from './http-put.ts';
import type { Insist, PutOutputOptions } from './put-output.ts';
import { refusalOf, Refused, Unreachable } from './server-reply.ts';

/** How many parts are on their way at a time. */
const AT_ONCE = 4;
/** How many addresses are asked for at a time. */
const AHEAD = 8;
/** How long a call may stay unanswered, ms: to put a file together takes R2 a while. */
const CALL_MS = 60_000;

/** One output on its way. */
export class OutputParts {
  readonly #options: PutOutputOptions;
  readonly #insist: Insist;
  readonly #partSize: number;
  /** Aborts when any part has failed for good, or the caller says so. */
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  readonly #sent = new Map<number, number>();
  readonly #addresses = new Map<number, string>();
  #asking: Promise<void> | undefined;
  #upload = '';

  constructor(options: PutOutputOptions, insist: Insist) {
    this.#options = options;
    this.#insist = insist;
    this.#partSize = options.output.parts?.size ?? options.manifest.size;
    this.#signal = AbortSignal.any([options.signal, this.#over.signal]);
  }

  /** @throws Fenced, Refused (412: it is there), Unreachable, or the signal's reason. */
  async send(): Promise<void> {
    const { manifest, digest } = this.#options;
    const { checksum } = digest;
    const begun = await this.#call('', { manifest, checksum }, OutputUploadReply);
    this.#upload = begun.upload;
    const parts = await this.#sendParts();
    await this.#call('/complete', { upload: this.#upload, parts }, v.unknown());
  }

  async #sendParts(): Promise<PartList> {
    const missing = this.#options.digest.parts.map((_, i) => i + 1);
    const stored: PartList = [];
    const lane = async () => {
      for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
        const own = number;
        stored.push({
          number,
          etag: await this.#insist(() => this.#sendPart(own), this.#signal),
        });
      }
    };
    const lanes = Array.from({ length: AT_ONCE }, lane);
    try {
      await Promise.all(lanes);
      return stored.toSorted((a, b) => a.number - b.number);
    } catch (error) {
      this.#over.abort(error);
      // None may go on reading a file that is about to be closed.
      await Promise.allSettled(lanes);
      throw error;
    }
  }

  async #sendPart(number: number): Promise<string> {
    const { file, manifest, digest } = this.#options;
    const url = await this.#addressOf(number);
    const offset = (number - 1) * this.#partSize;
    const reply = await putFile({
      url,
      file,
      offset,
      size: Math.min(this.#partSize, manifest.size - offset),
      headers: { 'content-md5': digest.parts[number - 1] ?? '' },
      signal: this.#signal,
      onBytes: (bytes) => this.#tell(number, bytes),
    });
    return tagIn(reply);
  }

  #tell(number: number, bytes: number): void {
    this.#sent.set(number, bytes);
    let sent = 0;
    for (const one of this.#sent.values()) sent += one;
    this.#options.onBytes?.(sent);
  }

  /** An address is used once: a part that failed gets another one. */
  async #addressOf(number: number): Promise<string> {
    for (;;) {
      const url = this.#addresses.get(number);
      this.#addresses.delete(number);
      if (url !== undefined) return url;
      this.#asking ??= this.#ask(number).finally(() => (this.#asking = undefined));
      await this.#asking;
    }
  }

  async #ask(from: number): Promise<void> {
    const last = Math.min(from + AHEAD - 1, this.#options.digest.parts.length);
    const numbers = Array.from({ length: last - from + 1 }, (_, i) => from + i);
    const body = { upload: this.#upload, numbers };
    // Whoever needs an address asks again.
    const { parts } = await this.#callOnce('/parts', body, PartsReply);
    const { url: base } = this.#options.output;
    for (const { number, url } of parts) this.#addresses.set(number, new URL(url, base).href);
  }

  #call<T>(tail: string, body: object, schema: v.GenericSchema<unknown, T>): Promise<T> {
    return this.#insist(() => this.#callOnce(tail, body, schema), this.#signal);
  }

  async #callOnce<T>(tail: string, body: object, schema: v.GenericSchema<unknown, T>): Promise<T> {
    const { status, text } = await this.#post(tail, body);
    if (status < 200 || status > 299) throw refusalOf(status, text);
    const reply = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
    if (reply.success) return reply.output;
    throw new Unreachable('the server gave an answer that makes no sense');
  }

  async #post(tail: string, body: object): Promise<{ status: number; text: string }> {
    const { output, token } = this.#options;
    try {
      const response = await fetch(output.url + tail, {
        method: 'POST',
        redirect: 'error',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify(body),
        signal: AbortSignal.any([this.#signal, AbortSignal.timeout(CALL_MS)]),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      this.#signal.throwIfAborted();
      throw new Unreachable('the server could not be reached', { cause: error });
    }
  }
}

/** Bytes that were damaged on their way, by R2's word or the server's, or an address that was too old. */
const isPassing = ({ status, code }: Refused): boolean =>
  status === 400 || status === 403 || code === 'checksum_mismatch';

/** The tag of a part that has arrived. */
function tagIn({ status, text, etag }: PutReply): string {
  if (status < 200 || status > 299) {
    const refusal = refusalOf(status, text);
    if (!(refusal instanceof Refused && isPassing(refusal))) throw refusal;
    throw new Unreachable('a part did not arrive', { cause: refusal });
  }
  if (etag === undefined) throw new Refused(status, 'no_etag');
  return etag.replaceAll('"', '');
}
