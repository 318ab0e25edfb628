import { ExportTransportError } from './errors.ts';
import type { Http } from './http.ts';
import { reasonOf } from './timing.ts';

/** What is sent in one request. */
export interface Put {
  readonly url: string;
  readonly body: Blob | ReadableStream<Uint8Array>;
  readonly size: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes sent so far of this request. */
  readonly onSent?: ((sent: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PutAnswer {
  readonly status: number;
  readonly text: string;
  readonly etag: string | null;
}

/**
 * Sends bytes, and tells how many have left where that can be known.
 * @throws {ExportTransportError} when there was no answer, or the signal's reason.
 */
export function put(http: Http, what: Put): Promise<PutAnswer> {
  const { body, signal } = what;
  if (body instanceof Blob && typeof XMLHttpRequest !== 'undefined') return putWithXhr(what, body);
  const { fetch } = http;
  return http.reach(async () => {
    const response = await fetch(what.url, initOf(what));
    const { status, headers } = response;
    const text = await response.text();
    what.onSent?.(what.size);
    return { status, text, etag: headers.get('etag') };
  }, signal);
}

function initOf({ body, size, headers = {}, signal, onSent }: Put): RequestInit {
  const init: RequestInit & { duplex?: 'half' } = { method: 'PUT', body, headers: { ...headers } };
  if (signal) init.signal = signal;
  if (body instanceof Blob) return init;
  init.duplex = 'half';
  init.headers = { ...headers, 'content-length': String(size) };
  init.body = counted(body, onSent);
  return init;
}

function counted(stream: ReadableStream<Uint8Array>, onSent: Put['onSent']) {
  let sent = 0;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        sent += chunk.byteLength;
        onSent?.(sent);
        controller.enqueue(chunk);
      },
    }),
  );
}

// fetch tells nothing about bytes sent, so a browser's progress bar needs the older API.
function putWithXhr({ url, headers = {}, onSent, signal }: Put, body: Blob): Promise<PutAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<PutAnswer>();
  if (signal?.aborted) {
    reject(reasonOf(signal));
    return promise;
  }
  const xhr = new XMLHttpRequest();
  const abort = () => xhr.abort();
  const lost = () => reject(new ExportTransportError('The upload was cut off.'));
  signal?.addEventListener('abort', abort, { once: true });
  xhr.upload.addEventListener('progress', (event) => onSent?.(event.loaded));
  xhr.addEventListener('load', () => {
    const { status, responseText: text } = xhr;
    resolve({ status, text, etag: xhr.getResponseHeader('etag') });
  });
  xhr.addEventListener('error', lost);
  xhr.addEventListener('timeout', lost);
  xhr.addEventListener('abort', () => reject(reasonOf(signal)));
  xhr.addEventListener('loadend', () => signal?.removeEventListener('abort', abort));
  xhr.open('PUT', url);
  for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
  xhr.send(body);
  return promise;
}
