import type { OwnSource } from '@export-jobs/protocol';
import { RenderFailure } from '../failure.ts';
import { Fenced, refusalOf, Unreachable } from '../server-reply.ts';
import type { Origin } from './origin.ts';

/** An upload, at the server that gave us the job: it gets our token, and none that it might redirect to. */
export function ownOrigin(
  { url, size, etag }: Pick<OwnSource, 'url' | 'size' | 'etag'>,
  token: string,
): Origin {
  return {
    limit: size,
    limitMs: Infinity,
    failures: {
      tooLong: 'input_gone',
      tooSlow: 'source_fetch_failed',
      unreachable: 'source_fetch_failed',
    },
    async open(from, signal) {
      const headers: Record<string, string> = {
        authorization: `Bearer ${token}`,
        'accept-encoding': 'identity',
        'if-match': etag.includes('"') ? etag : `"${etag}"`,
      };
      if (from > 0) headers['range'] = `bytes=${from}-`;
      const { status, body, ...response } = await ask(url, headers, signal);
      if (!body) throw new Unreachable('the source answered without a body');
      if (status === 200) return { body, from: 0, total: size };
      if (response.range?.startsWith(`bytes ${from}-`)) return { body, from, total: size };
      await body.cancel();
      throw new Unreachable('the source answered with another range');
    },
  };
}

async function ask(url: string, headers: Record<string, string>, signal: AbortSignal) {
  const response = await fetch(url, { headers, signal, redirect: 'error' });
  const { status, body } = response;
  if (status !== 200 && status !== 206) throw refused(status, await response.text());
  return { status, body, range: response.headers.get('content-range') };
}

function refused(status: number, body: string): Error {
  const refusal = refusalOf(status, body);
  if (refusal instanceof Fenced || refusal instanceof Unreachable) return refusal;
  const gone = [404, 410, 412, 416].includes(status);
  const code = gone ? 'input_gone' : 'source_fetch_failed';
  return new RenderFailure(code, `the source was refused with ${status}`);
}
