import type { UploadedReply } from '@export-jobs/protocol';
import { ExportApiError, ExportTransportError } from './errors.ts';
import { isUploadedReply, isUploadReply } from './guards.ts';
import { checked, jsonOf, type Http } from './http.ts';
import { reasonOf } from './timing.ts';

/** A file that is read as a stream, for servers. Such an upload cannot be repeated by itself. */
export interface StreamSource {
  filename: string;
  /** Bytes; the stream must yield exactly this many. */
  size: number;
  stream: ReadableStream<Uint8Array>;
}

/** What can be uploaded: a browser's File, any Blob (named `video`), or a stream. */
export type UploadSource = Blob | StreamSource;

export interface UploadOptions {
  /** Bytes sent so far, and in all. */
  onProgress?: ((sent: number, size: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Announces a file and sends its bytes; repeats what is safe to repeat. */
export async function uploadFile(
  http: Http,
  source: UploadSource,
  options: UploadOptions = {},
): Promise<UploadedReply> {
  const { signal } = options;
  const filename =
    'filename' in source ? source.filename : 'name' in source ? String(source.name) : 'video';
  const ticket = await http.callSafely('/api/uploads', isUploadReply, {
    ...jsonOf({ filename, size: source.size }),
    signal,
  });
  const url = http.url(ticket.url);
  if (!(source instanceof Blob)) return putStream(http, url, source, options);
  let tries = 0;
  return http.retry(async () => {
    tries += 1;
    try {
      return await putBlob(http, url, source, options);
    } catch (error) {
      // A repeat that finds the upload finished: the first one arrived, its answer did not.
      if (tries > 1 && error instanceof ExportApiError && error.code === 'upload_exists') {
        return { upload_id: ticket.upload_id, size: source.size, etag: '' };
      }
      throw error;
    }
  }, signal);
}

function putBlob(http: Http, url: string, blob: Blob, options: UploadOptions) {
  if (typeof XMLHttpRequest !== 'undefined') return putWithXhr(url, blob, options);
  return putWithFetch(http, url, blob, blob.size, options);
}

function putStream(http: Http, url: string, source: StreamSource, options: UploadOptions) {
  let sent = 0;
  const counted = source.stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        sent += chunk.byteLength;
        options.onProgress?.(sent, source.size);
        controller.enqueue(chunk);
      },
    }),
  );
  return putWithFetch(http, url, counted, source.size, options);
}

async function putWithFetch(
  http: Http,
  url: string,
  body: Blob | ReadableStream<Uint8Array>,
  size: number,
  { onProgress, signal }: UploadOptions,
): Promise<UploadedReply> {
  const init: RequestInit & { duplex?: 'half' } = { method: 'PUT', body };
  if (signal) init.signal = signal;
  if (!(body instanceof Blob)) {
    init.duplex = 'half';
    init.headers = { 'content-length': String(size) };
  }
  const reply = await http.send(url, isUploadedReply, signal, init);
  onProgress?.(size, size);
  return reply;
}

// fetch tells nothing about bytes sent, so a browser's progress bar needs the older API.
function putWithXhr(
  url: string,
  body: Blob,
  { onProgress, signal }: UploadOptions,
): Promise<UploadedReply> {
  const { promise, resolve, reject } = Promise.withResolvers<UploadedReply>();
  if (signal?.aborted) {
    reject(reasonOf(signal));
    return promise;
  }
  const xhr = new XMLHttpRequest();
  const abort = () => xhr.abort();
  const lost = () => reject(new ExportTransportError('The upload was cut off.'));
  signal?.addEventListener('abort', abort, { once: true });
  xhr.upload.addEventListener('progress', (event) => onProgress?.(event.loaded, body.size));
  xhr.addEventListener('load', () => {
    // In an async function, so that a refusal rejects instead of being thrown at the event loop.
    resolve((async () => checked(xhr.status, xhr.responseText, isUploadedReply))());
  });
  xhr.addEventListener('error', lost);
  xhr.addEventListener('timeout', lost);
  xhr.addEventListener('abort', () => reject(reasonOf(signal)));
  xhr.addEventListener('loadend', () => signal?.removeEventListener('abort', abort));
  xhr.open('PUT', url);
  xhr.send(body);
  return promise;
}
