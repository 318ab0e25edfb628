import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { finished, pipeline } from 'node:stream/promises';
import { piecesOf, type OutputFile } from './output-file.ts';
import { Unreachable } from './server-reply.ts';

/** A connection on which nothing moves for this long is given up, ms. */
const IDLE_MS = 30_000;

/** Bytes of a file and where they go. */
export interface FilePut {
  readonly url: string;
  readonly file: Pick<OutputFile, 'handle'>;
  /** Which bytes: from the first one of all on, so many. */
  readonly offset: number;
  readonly size: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Called with the bytes sent so far in this try. */
  readonly onBytes?: (bytes: number) => void;
}

export interface PutReply {
  readonly status: number;
  readonly text: string;
  readonly etag: string | undefined;
}

/** One request. A refusal that comes before the body is through is heard, not lost in a reset. */
export async function putFile(put: FilePut): Promise<PutReply> {
  const { file, offset, size, headers, signal, onBytes } = put;
  const url = new URL(put.url);
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    method: 'PUT',
    signal,
    timeout: IDLE_MS,
    headers: { ...headers, 'content-length': size },
  });
  request.once('timeout', () => request.destroy(new Unreachable('the upload does not move')));
  const body = async function* () {
    let sent = 0;
    for await (const piece of piecesOf(file, offset, size)) {
      sent += piece.length;
      onBytes?.(sent);
      yield piece;
    }
  };
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  const sending = pipeline(body, request).catch(() => undefined);
  try {
    const response = await answered;
    const text = await readText(response);
    return { status: response.statusCode ?? 0, text, etag: response.headers.etag };
  } finally {
    request.destroy();
    await sending;
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8').on('data', (part) => {
    if (text.length < 65_536) text += String(part);
  });
  await finished(response);
  return text;
}
