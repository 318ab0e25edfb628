import type { IncomingMessage } from 'node:http';
import type { ForeignSource } from '@export-jobs/protocol';
import { RenderFailure } from '../failure.ts';
import { Unreachable } from '../server-reply.ts';
import { guardedGet, type Guard } from './guarded-get.ts';
import type { Origin, Part } from './origin.ts';

/** How long a foreign server may take for its file, ms; the server that gave us the job waits half an hour. */
const LIMIT_MS = 20 * 60_000;

/** A file of a server that a stranger named: nothing that it says is believed. */
export function foreignOrigin(
  { url, max_bytes }: Pick<ForeignSource, 'url' | 'max_bytes'>,
  guard: Guard,
  limitMs = LIMIT_MS,
): Origin {
  // Only by a strong tag is it sure that what follows belongs to what came before.
  let tag: string | undefined;
  return {
    limit: max_bytes,
    limitMs,
    failures: {
      tooLong: 'input_too_large',
      tooSlow: 'source_unavailable',
      unreachable: 'source_unreachable',
    },
    async open(from, signal) {
      const goOn = from > 0 && tag !== undefined;
      const headers = goOn ? { range: `bytes=${from}-`, 'if-range': tag ?? '' } : {};
      const response = await guardedGet(url, headers, guard, signal).catch((error: unknown) => {
        throw isFinal(error) ? unavailable('its name or certificate is not valid', error) : error;
      });
      try {
        const part = partOf(response, goOn ? from : 0);
        const { etag } = response.headers;
        if (part.from === 0) tag = etag?.startsWith('"') ? etag : undefined;
        return part;
      } catch (error) {
        response.destroy();
        throw error;
      }
    },
  };
}

function partOf(response: IncomingMessage, from: number): Part {
  const { statusCode = 0, headers } = response;
  const isRest = statusCode === 206 && from > 0;
  if (statusCode !== 200 && !isRest) throw refusal(statusCode);
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw unavailable('it comes compressed, though that was not asked for');
  }
  if (isRest && !headers['content-range']?.startsWith(`bytes ${from}-`)) {
    throw new Unreachable('the source answered with another range');
  }
  const begin = isRest ? from : 0;
  const length = headers['content-length'];
  const total = length === undefined ? undefined : begin + Number(length);
  return { body: response, from: begin, total };
}

function refusal(status: number): Error {
  const mayPass = status >= 500 || [408, 425, 429].includes(status);
  return mayPass ? new Unreachable(`the source answered ${status}`) : unavailable(`${status}`);
}

function unavailable(why: string, cause?: unknown): RenderFailure {
  return new RenderFailure('source_unavailable', `the source is not handed out: ${why}`, { cause });
}

/** A name that does not exist and a certificate that is not valid will be so in a minute too. */
function isFinal(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code === 'ENOTFOUND' || /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code);
}
