import type { UploadedReply, UploadReply } from '@export-jobs/protocol';
import { ExportApiError } from './errors.ts';
import { isUploadedReply, isUploadReply } from './guards.ts';
import { checked, jsonOf, type Http } from './http.ts';
import { put } from './put.ts';
import { isForgotten, PartsUpload } from './upload-parts.ts';
import { keyOfFile, storeOfPage, UploadMemory, type UploadStore } from './upload-store.ts';

/** A file that is read as a stream, for servers. */
export interface StreamSource {
  filename: string;
  /** Bytes; the stream must yield exactly this many. */
  size: number;
  stream: ReadableStream<Uint8Array>;
}

/** What can be uploaded: a browser's File, any Blob (named `video`), or a stream. */
export type UploadSource = Blob | StreamSource;

/** What each part waits at before it begins. */
export interface UploadGate {
  /** Resolves when the next part may begin, or when `signal` aborts. */
  passed(signal: AbortSignal): Promise<void>;
}

export interface UploadOptions {
  /** Bytes sent so far, and in all. */
  onProgress?: ((sent: number, size: number) => void) | undefined;
  /** Called when the upload goes on where an earlier one of the same file ended, at so many bytes. */
  onResume?: ((sent: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Holds it, such as an `UploadPause`; only large files, which go by parts, can be held. */
  pause?: UploadGate | undefined;
  /**
   * Where it is kept how far a large File has come, so that the same file, chosen again, goes on from there.
   * By default the page's `localStorage`, if there is one; null for nowhere.
   */
  store?: UploadStore | null | undefined;
}

/** Announces a file and sends its bytes; repeats what is safe to repeat. */
export async function uploadFile(
  http: Http,
  source: UploadSource,
  options: UploadOptions = {},
): Promise<UploadedReply> {
  const { store = storeOfPage() } = options;
  const memory = new UploadMemory(store, keyOfFile(http.url('/'), source));
  const kept = await memory.recall();
  if (kept) {
    try {
      return await new PartsUpload(http, source, kept, memory, options).run();
    } catch (error) {
      // It was thrown away meanwhile, or its file has changed: the file goes up anew.
      if (!isForgotten(error)) throw error;
    }
  }
  const ticket = await announce(http, source, options.signal);
  const { upload_id, expires_at, parts } = ticket;
  if (!parts) return putWhole(http, source, ticket, options);
  const session = { upload_id, expires_at, parts, sent: [] };
  return new PartsUpload(http, source, session, memory, options).run();
}

function announce(http: Http, source: UploadSource, signal: AbortSignal | undefined) {
  const filename =
    'filename' in source ? source.filename : 'name' in source ? String(source.name) : 'video';
  const content_type = (source instanceof Blob && source.type) || undefined;
  return http.callSafely('/api/uploads', isUploadReply, {
    ...jsonOf({ filename, size: source.size, content_type }),
    signal,
  });
}

async function putWhole(
  http: Http,
  source: UploadSource,
  { upload_id, url: path }: UploadReply,
  { onProgress, signal }: UploadOptions,
): Promise<UploadedReply> {
  const { size } = source;
  const url = http.url(path);
  const onSent = (sent: number) => onProgress?.(sent, size);
  const send = async (body: Blob | ReadableStream<Uint8Array>) => {
    const { status, text } = await put(http, { url, body, size, onSent, signal });
    return checked(status, text, isUploadedReply);
  };
  if (!(source instanceof Blob)) return send(source.stream);
  let tries = 0;
  return http.retry(async () => {
    tries += 1;
    try {
      return await send(source);
    } catch (error) {
      // A repeat that finds the upload finished: the first one arrived, its answer did not.
      if (tries > 1 && error instanceof ExportApiError && error.code === 'upload_exists') {
        return { upload_id, size, etag: '' };
      }
      throw error;
    }
  }, signal);
}
