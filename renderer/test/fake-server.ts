// A small real HTTP server that plays the server's part towards a renderer: claim, source, reports,
// output, end; the calls after the claim also on a WebSocket. What it is told, and how it misbehaves,
// is in the hands of the test.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  ClaimBody,
  CompleteBody,
  ErrorBody,
  ExportOptions,
  OutputManifest,
  problem,
  ProgressBody,
  type ProblemCode,
  type RendererFrame,
  type ExportOptionsInput,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { FakeChannel, type FrameAnswer } from './fake-channel.ts';

const Manifest = v.pipe(v.string(), v.parseJson(), OutputManifest);

export interface FakeServerOptions {
  readonly source: Buffer;
  readonly options?: ExportOptionsInput;
  readonly leaseMs?: number;
  readonly reportMs?: number | (() => number);
  /** Answers in the place of the usual one; `undefined` leaves it. */
  readonly answer?: (call: Heard) => ProblemCode | 'hang up' | 'swallow' | undefined;
  /** Whether a socket is offered, or another address in its place. Default: none is. */
  readonly channel?: boolean | string;
  /** Refuses the nth dial (from 1) with this status; 0 leaves it hanging. */
  readonly refuseDial?: (nth: number) => number | undefined;
}
export interface Heard {
  readonly name: string;
  readonly via: 'post' | 'socket';
  readonly body: unknown;
  readonly at: number;
}

export const TOKEN = 'ej1.k1.test.tag';

export async function startFakeServer(setup: FakeServerOptions) {
  const heard: Heard[] = [];
  const stored: Buffer[] = [];
  const etag = createHash('md5').update(setup.source).digest('hex');
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  const channel = new FakeChannel(server, answerFrame, setup.refuseDial);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const url = `http://127.0.0.1:${port}`;
  const channelUrl =
    typeof setup.channel === 'string' ? setup.channel : `ws://127.0.0.1:${port}/renderer`;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = (request.url ?? '').slice(1);
    const raw = await readAll(request);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      refuse(response, 'unauthorized');
      return;
    }
    const isFile = name === 'source' || name === 'output';
    const body: unknown = isFile ? raw.length : strictly(name, JSON.parse(raw.toString('utf8')));
    const call: Heard = { name, via: 'post', body, at: Date.now() };
    heard.push(call);
    const instead = setup.answer?.(call);
    if (instead === 'swallow') return;
    if (instead === 'hang up') response.destroy();
    else if (instead) refuse(response, instead);
    else if (name === 'source') sendSource(request, response);
    else if (name === 'output') store(request, raw, response);
    else json(response, replyTo(name));
  }

  function answerFrame({ type, ...body }: RendererFrame): FrameAnswer {
    const call: Heard = { name: type, via: 'socket', body, at: Date.now() };
    heard.push(call);
    return setup.answer?.(call) ?? paceOf();
  }

  function paceOf() {
    const { leaseMs = 45_000, reportMs = 100 } = setup;
    return {
      lease_ms: leaseMs,
      next_report_ms: typeof reportMs === 'number' ? reportMs : reportMs(),
    };
  }

  function replyTo(name: string): unknown {
    const pace = paceOf();
    if (name === 'error') return { success: true, retrying: false };
    if (name !== 'claim') return { success: true, ...pace };
    return {
      success: true,
      epoch: 1,
      ...pace,
      options: v.parse(ExportOptions, setup.options ?? {}),
      source: { url: `${url}/source`, size: setup.source.length, etag, filename: 'a film.mp4' },
      output: { url: `${url}/output`, key: 'out/t/j/1/1/film.mp4', content_type: 'video/mp4' },
      ...(setup.channel ? { channel: { url: channelUrl } } : {}),
    };
  }

  function sendSource(request: IncomingMessage, response: ServerResponse): void {
    if (request.headers['if-match'] !== `"${etag}"`) {
      refuse(response, 'source_changed');
      return;
    }
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const part = setup.source.subarray(from);
    const range = `bytes ${from}-${setup.source.length - 1}/${setup.source.length}`;
    response.writeHead(request.headers.range ? 206 : 200, {
      'content-length': part.length,
      ...(request.headers.range ? { 'content-range': range } : {}),
    });
    response.end(part);
  }

  function store(request: IncomingMessage, raw: Buffer, response: ServerResponse): void {
    const sha256 = createHash('sha256').update(raw).digest('hex');
    const { sha256: said } = v.parse(Manifest, request.headers['x-export-manifest']);
    if (stored.length > 0) refuse(response, 'output_exists');
    else if (said !== sha256 || Number(request.headers['content-length']) !== raw.length) {
      refuse(response, 'upload_mismatch');
    } else {
      stored.push(raw);
      json(response, { success: true });
    }
  }

  return {
    url,
    heard,
    channel,
    stored,
    ticket: { v: 1, job_id: 'job', attempt: 1, callback_url: url, token: TOKEN } as const,
    /** The calls of one name, with their bodies. */
    said: (name: string) => heard.filter((call) => call.name === name).map((call) => call.body),
    progress: () =>
      heard.filter((call) => call.name === 'progress').map((c) => v.parse(ProgressBody, c.body)),
    async close() {
      channel.cut();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The body of a call, when it has nothing that the protocol does not know. */
function strictly(name: string, body: unknown): unknown {
  const schemas = {
    claim: ClaimBody,
    progress: ProgressBody,
    complete: CompleteBody,
    error: ErrorBody,
  };
  const schema = Object.entries(schemas).find(([known]) => known === name)?.[1];
  if (!schema) throw new Error(`nobody calls ${name}`);
  return v.parse(v.strictObject(schema.entries), body);
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) if (chunk instanceof Buffer) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function refuse(response: ServerResponse, code: ProblemCode): void {
  const body = problem(code);
  response.writeHead(body.status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify(body));
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
