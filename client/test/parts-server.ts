// The server's part towards large uploads, over real sockets. Each test decides what goes wrong.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json, problem, viewerServer } from './viewer-server.ts';

/** A part of a file, and how often it was sent. */
export interface Heard {
  readonly what: 'announce' | 'mint' | 'part' | 'complete' | 'abort';
  readonly number: number;
}

export const PART = 10;

/**
 * Takes files in parts of ten bytes.
 * @param trouble is asked before each call is answered: an answer of its own, a promise to wait for, or nothing.
 */
export async function partsServer(
  trouble: (
    call: Heard & { response: ServerResponse; request: IncomingMessage; nth: number },
  ) => boolean | Promise<boolean> = () => false,
) {
  const heard: Heard[] = [];
  const stored = new Map<number, Buffer>();
  const files: string[] = [];
  const announced: unknown[] = [];
  let uploads = 0;
  let size = 0;
  let most = 0;
  let open = 0;

  async function answer(request: IncomingMessage, body: Buffer, response: ServerResponse) {
    const url = new URL(request.url ?? '', 'http://here');
    const call = { what: whatOf(request, url), number: numberIn(url, body) };
    heard.push(call);
    const nth = heard.filter((one) => one.what === call.what && one.number === call.number).length;
    if (await trouble({ ...call, request, response, nth })) return;
    if (call.what === 'announce') {
      uploads += 1;
      stored.clear();
      const said: unknown = JSON.parse(body.toString());
      announced.push(said);
      size = sizeIn(said);
      const parts = { size: PART, count: Math.ceil(size / PART), token: `token-${uploads}` };
      const upload_id = `upl_${uploads}`;
      return json(response, 201, {
        upload_id,
        url: '/put',
        expires_at: Date.now() + 60_000,
        parts,
      });
    }
    if (call.what === 'part') return keep(call.number, body, request, response);
    if (request.headers.authorization !== `Bearer token-${uploads}`) {
      return json(response, 401, problem('unauthorized', 401));
    }
    if (call.what === 'mint') {
      const parts = [{ number: call.number, url: `/part/${call.number}?mint=${nth}` }];
      return json(response, 200, { parts, expires_at: 1 });
    }
    if (call.what === 'abort') return void response.writeHead(204).end();
    complete(body, response);
  }

  function keep(number: number, body: Buffer, request: IncomingMessage, response: ServerResponse) {
    const md5 = createHash('md5').update(body).digest('base64');
    if (request.headers['content-md5'] !== md5) {
      return json(response, 422, problem('checksum_mismatch', 422, true));
    }
    stored.set(number, body);
    response.setHeader('etag', `"tag-${number}-${body.toString('hex')}"`);
    json(response, 200, {});
  }

  function complete(body: Buffer, response: ServerResponse) {
    const numbers = [...stored.keys()].toSorted((a, b) => a - b);
    const parts = numbers.map((number) => stored.get(number) ?? Buffer.alloc(0));
    const hash = createHash('md5');
    for (const part of parts) hash.update(createHash('md5').update(part).digest());
    const wanted = {
      parts: numbers.map((number, i) => ({
        number,
        etag: `tag-${number}-${parts[i]?.toString('hex') ?? ''}`,
      })),
      checksum: `${hash.digest('hex')}-${parts.length}`,
    };
    if (body.toString() !== JSON.stringify(wanted)) {
      return json(response, 422, problem('upload_mismatch', 422));
    }
    files.push(Buffer.concat(parts).toString());
    json(response, 200, { upload_id: `upl_${uploads}`, size, etag: wanted.checksum });
  }

  const server = await viewerServer({
    http(request, body, response) {
      const isPart = request.url?.startsWith('/part/') === true;
      if (isPart) open += 1;
      most = Math.max(most, open);
      response.on('close', () => {
        if (isPart) open -= 1;
      });
      answer(request, body, response).catch(() => response.destroy());
    },
  });
  return {
    baseUrl: server.baseUrl,
    heard,
    files,
    announced,
    /** How many parts were on their way at once, at most. */
    most: () => most,
    /** The numbers of calls of a kind, in their order. */
    numbers: (what: Heard['what']) =>
      heard.filter((call) => call.what === what).map(({ number }) => number),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function whatOf({ method }: IncomingMessage, { pathname }: URL): Heard['what'] {
  if (pathname.startsWith('/part/')) return 'part';
  if (method === 'DELETE') return 'abort';
  if (pathname.endsWith('/parts')) return 'mint';
  return pathname.endsWith('/complete') ? 'complete' : 'announce';
}

function numberIn({ pathname }: URL, body: Buffer): number {
  const inPath = /^\/part\/(\d+)$/.exec(pathname)?.[1];
  return Number(inPath ?? /"numbers":\[(\d+)\]/.exec(body.toString())?.[1] ?? 0);
}

function sizeIn(said: unknown): number {
  return typeof said === 'object' && said !== null && 'size' in said ? Number(said.size) : 0;
}
