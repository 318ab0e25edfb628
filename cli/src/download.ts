// Responsible for bringing a finished export's file here, whole or not at all. The client names the
// link and leaves the bytes to whoever wants them, so this is one of two places that call `fetch`.
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EndedJob, type ExportClient, isEnded } from '@export-jobs/client';
import { CliError, EXIT } from './exit.ts';
import { taken } from './files.ts';

export type CompleteJob = Extract<EndedJob, { status: 'complete' }>;

export interface Download {
  readonly job: CompleteJob;
  /** Absolute. */
  readonly file: string;
  /** Whether a file of that name may be replaced. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (received: number) => void;
  /** The first wait before another try, ms; it doubles. Default 250. */
  readonly backoffMs?: number;
}

/** What was saved. */
export interface Saved {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

const MAX_FAILURES = 5;

/**
 * Downloads under a temporary name beside the target, goes on where a lost connection stopped,
 * compares with what the job says, and only then gives the file its name.
 * @throws CliError with the reason when the file is not there afterwards.
 */
export async function saveOutput(
  client: Pick<ExportClient, 'getExport' | 'downloadUrl'>,
  task: Download,
): Promise<Saved> {
  const { file, force, job } = task;
  const temporary = path.join(path.dirname(file), `.${randomUUID()}.part`);
  const handle = await open(temporary, 'wx').catch((error: unknown) => {
    throw new CliError(EXIT.local, `${file} cannot be written: ${messageOf(error)}`);
  });
  try {
    const got = new Got(handle);
    try {
      await receive(client, task, got);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const sha256 = got.hash.digest('hex');
    assertSame(job.output, { size: got.size, sha256 });
    await (force ? rename(temporary, file) : nameNew(temporary, file));
    return { file, size: got.size, sha256 };
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The bytes so far. */
class Got {
  size = 0;
  etag: string | null = null;
  hash: Hash = createHash('sha256');
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(chunk: Uint8Array): Promise<void> {
    let at = 0;
    while (at < chunk.byteLength) {
      at += (await this.#handle.write(chunk, at, chunk.byteLength - at, this.size + at))
        .bytesWritten;
    }
    this.hash.update(chunk);
    this.size += chunk.byteLength;
  }

  async startAgain(): Promise<void> {
    await this.#handle.truncate(0);
    this.size = 0;
    this.hash = createHash('sha256');
  }
}

/** Until the whole file is here; gives up after some failures between which nothing came. */
async function receive(
  client: Pick<ExportClient, 'getExport' | 'downloadUrl'>,
  { job, signal, onProgress, backoffMs = 250 }: Download,
  got: Got,
): Promise<void> {
  let url = client.downloadUrl(job);
  for (let failures = 0; ; failures += 1) {
    const before = got.size;
    try {
      return await receiveOnce(url, got, signal, onProgress);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (got.size > before) failures = 0;
      if (!(error instanceof Cut)) throw error;
      if (failures >= MAX_FAILURES) throw new CliError(EXIT.unreachable, error.message);
    }
    await sleep(backoffMs * 2 ** failures, undefined, { signal });
    // Links expire.
    const now = await client.getExport(job.id, { signal });
    if (isEnded(now) && now.status === 'complete') url = client.downloadUrl(now);
  }
}

/** A failure that may pass. */
class Cut extends Error {}

async function receiveOnce(
  url: string,
  got: Got,
  signal: AbortSignal,
  onProgress: (received: number) => void,
): Promise<void> {
  const response = await ask(url, got, signal);
  const { status, body, ok } = response;
  // The range begins where the file ends: everything is here already.
  if (status === 416 && got.size > 0) return;
  const sentence = `The file cannot be fetched: the server answered ${status}.`;
  if (status === 412) {
    // Not the file that was begun.
    await got.startAgain();
    throw new Cut(sentence);
  }
  if (status >= 500) throw new Cut(sentence);
  if (!ok || !body) throw new CliError(status === 404 ? EXIT.notFound : EXIT.refused, sentence);
  if (status !== 206 && got.size > 0) await got.startAgain();
  got.etag = response.headers.get('etag');
  for await (const chunk of chunksOf(body, got)) {
    await got.append(chunk);
    onProgress(got.size);
  }
}

async function ask(url: string, { size, etag }: Got, signal: AbortSignal): Promise<Response> {
  const headers = new Headers();
  if (size > 0) headers.set('range', `bytes=${size}-`);
  if (size > 0 && etag !== null) headers.set('if-match', etag);
  try {
    return await fetch(url, { headers, signal });
  } catch (error) {
    throw new Cut(`The file cannot be fetched: ${messageOf(error)}`);
  }
}

/** The bytes of an answer. Tells a lost connection from a disk that cannot take them. */
async function* chunksOf(body: ReadableStream<Uint8Array>, got: Got): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw new Cut(`The file was cut off after ${got.size} bytes: ${messageOf(error)}`);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** @throws CliError when what arrived is not what the job says. */
export function assertSame(
  expected: { readonly size: number | null; readonly sha256: string | null },
  got: { readonly size: number; readonly sha256: string },
): void {
  const wrong =
    expected.size !== null && expected.size !== got.size
      ? `${got.size} bytes instead of ${expected.size}`
      : expected.sha256 !== null && expected.sha256.toLowerCase() !== got.sha256
        ? `its SHA-256 is ${got.sha256} instead of ${expected.sha256}`
        : null;
  if (wrong !== null) {
    throw new CliError(EXIT.local, `What arrived is not the file of this export: ${wrong}.`);
  }
}

/** Names a file unless that name was taken meanwhile: a rename would write over it. */
async function nameNew(temporary: string, file: string): Promise<void> {
  try {
    await link(temporary, file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'EEXIST') throw taken(file);
    // Some file systems have no links. There the name is reserved first.
    const reserved = await open(file, 'wx').catch(() => null);
    if (reserved === null) throw taken(file);
    await reserved.close();
    await rename(temporary, file);
  }
}

function messageOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
