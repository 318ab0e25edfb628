import {
  askedWait,
  apiError,
  ExportApiError,
  ExportTransportError,
  isRetryable,
  parseJson,
} from './errors.ts';
import { pause } from './span.ts';
import { backoff, type Timing } from './timing.ts';

export interface HttpConfig {
  baseUrl?: string | undefined;
  /**
   * Called before every call and dial, so that a token may be short-lived. The job's id, or null when it
   * concerns no one job; whether it is the `feed` of all jobs of an owner, which takes a token of its own.
   */
  getToken?: ((jobId: string | null, purpose: Purpose) => Token | Promise<Token>) | undefined;
  fetch?: typeof fetch | undefined;
  WebSocket?: typeof WebSocket | undefined;
}
type Token = string | null | undefined;
/** What a token is needed for. */
export type Purpose = 'call' | 'feed';

export interface Call {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: string;
  headers?: Record<string, string>;
  jobId?: string;
  purpose?: Purpose;
  signal?: AbortSignal | undefined;
}

export const bearer = (token: string | null): Record<string, string> =>
  token === null ? {} : { authorization: `Bearer ${token}` };

/** What a call needs to send this as JSON. */
export const jsonOf = (value: unknown, headers?: Record<string, string>) => ({
  method: 'POST' as const,
  body: JSON.stringify(value),
  headers: { 'content-type': 'application/json', ...headers },
});

/** Where a job is. */
export const pathOf = (jobId: string): string => `/api/jobs/${encodeURIComponent(jobId)}`;

export type Guard<T> = (value: unknown) => value is T;

/** A path with those of `values` that are known as its query. */
export const withQuery = (path: string, values: object): string =>
  `${path}?${new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined))}`;

/** The one place that speaks HTTP: addresses, credentials, time-outs, errors. */
export class Http {
  readonly timing: Timing;
  readonly #config: HttpConfig;

  constructor(config: HttpConfig, timing: Timing) {
    this.#config = config;
    this.timing = timing;
  }

  get fetch(): typeof fetch {
    return this.#config.fetch ?? globalThis.fetch;
  }

  /** Undefined where there are no sockets. */
  get WebSocket(): typeof WebSocket | undefined {
    return this.#config.WebSocket ?? globalThis.WebSocket;
  }

  /** An absolute address from a path of the server, or the address itself when it is absolute. */
  url(path: string): string {
    if (/^https?:/.test(path)) return path;
    const base = this.#config.baseUrl ?? globalThis.location?.origin;
    if (base === undefined) throw new TypeError('createClient needs a baseUrl');
    return base.replace(/\/$/, '') + path;
  }

  token(jobId: string | null, purpose: Purpose = 'call'): Promise<string | null> {
    return this.reach(async () => (await this.#config.getToken?.(jobId, purpose)) ?? null);
  }

  /**
   * Calls once and checks the answer's shape.
   * @throws {ExportApiError} on a refusal; {ExportTransportError} when there was no answer; the
   * signal's reason when that aborts.
   */
  async call<T>(path: string, guard: Guard<T>, call: Call = {}): Promise<T> {
    const { jobId = null, purpose, signal, ...init } = call;
    const token = await this.token(jobId, purpose);
    const timeout = AbortSignal.timeout(this.timing.request);
    return this.send(this.url(path), guard, signal, {
      ...init,
      headers: { ...call.headers, ...bearer(token) },
      signal: AbortSignal.any([signal ?? timeout, timeout]),
    });
  }

  /** `call`, repeated with back-off while that makes sense: only for calls that are safe to repeat. */
  callSafely<T>(path: string, guard: Guard<T>, call: Call = {}): Promise<T> {
    return this.retry(() => this.call(path, guard, call), call.signal);
  }

  async retry<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let n = 0; ; n += 1) {
      try {
        return await run();
      } catch (error) {
        const { retries, patience } = this.timing;
        const wait = askedWait(error);
        if (n >= retries || wait > patience || !isRetryable(error)) throw error;
        await pause(Math.max(backoff(n + 1, this.timing), wait), this.timing, signal);
      }
      signal?.throwIfAborted();
    }
  }

  /** One raw exchange; `signal` is the caller's own, so that its reason is what gets thrown. */
  send<T>(
    url: string,
    guard: Guard<T>,
    signal: AbortSignal | undefined,
    init: RequestInit,
  ): Promise<T> {
    // Taken out of its owner first: a browser's fetch must not be called as another's method.
    const { fetch } = this;
    return this.reach(async () => {
      const response = await fetch(url, init);
      return checked(response.status, await response.text(), guard, response.headers);
    }, signal);
  }

  /** Does what depends on a network. A failure that is not the server's own word says so. */
  async reach<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await run();
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof ExportApiError) throw cause;
      throw new ExportTransportError('The server could not be reached.', { cause });
    }
  }
}

/** The answer's body when it is a success of the right shape; otherwise throws. */
export function checked<T>(status: number, text: string, guard: Guard<T>, headers?: Headers): T {
  const body = parseJson(text);
  if (status >= 200 && status < 300 && guard(body)) return body;
  throw apiError(status, body, headers);
}
