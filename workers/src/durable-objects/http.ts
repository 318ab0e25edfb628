import type { ExportJob } from '@export-jobs/protocol';
import { isCallName, readCall } from '../lib/calls.ts';
import type { Call } from '../lib/calls.ts';
import { NotConfigured } from '../lib/env.ts';
import { Refusal, json, refuse } from '../lib/respond.ts';
import { cursorOf } from '../lib/sight.ts';
import type { Answer, Renderer, StatusReply } from '../lib/types.ts';
import { leaveOf } from './viewers.ts';
import type { Leave } from './viewers.ts';

/** What the contract's HTTP face needs of the object. */
interface Face {
  call(call: Call, from: Renderer): Promise<Answer>;
  status(tenant: string | null): StatusReply;
  view(tenant: string | null): ExportJob | null;
  watch(request: Request, since: number | null, leave: Leave): Response | null;
  connectRenderer(request: Request, attempt: number, epoch: number): Response | Answer<never>;
}

/**
 * The contract over HTTP, on the object itself. Whoever holds a binding to the object may call it;
 * from outside only the Worker does, after it has authenticated the caller.
 */
export async function serveContract(object: Face, request: Request): Promise<Response> {
  try {
    return await route(object, request);
  } catch (error) {
    if (error instanceof Refusal) return refuse(error.code, error.extra);
    if (error instanceof NotConfigured) return refuse('not_configured', { detail: error.message });
    throw error;
  }
}

async function route(object: Face, request: Request): Promise<Response> {
  const name = new URL(request.url).pathname.slice(1);
  if (name === 'status') {
    return request.method === 'GET'
      ? json(object.status(null))
      : refuse('method_not_allowed', {}, { allow: 'GET' });
  }
  if (name === 'ws' || name === '' || name === 'renderer') return upgrade(object, name, request);
  if (!isCallName(name)) return refuse('not_found');
  if (request.method !== 'POST') return refuse('method_not_allowed', {}, { allow: 'POST' });
  const answer = await object.call(await readCall(name, request), null);
  return answer.ok ? json(answer.body) : refuse(answer.code, answer.extra);
}

function upgrade(object: Face, name: string, request: Request): Response {
  if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') {
    return name === '' ? refuse('not_found') : refuse('upgrade_required');
  }
  return name === 'renderer' ? connect(object, request) : watch(object, request);
}

/**
 * `?since=` is the viewer's cursor, `?of=` whose job it must be, unless that is empty. With `?early=1` there
 * need not be a job yet.
 */
function watch(object: Face, request: Request): Response {
  const query = new URL(request.url).searchParams;
  const isSeen = object.view(query.get('of') || null) !== null;
  const isAwaited = query.get('early') === '1' && object.view(null) === null;
  if (query.has('of') && !isSeen && !isAwaited) return refuse('job_not_found');
  const since = cursorOf(query.get('since') ?? undefined);
  return object.watch(request, since, leaveOf(query)) ?? refuse('too_many_viewers');
}

function connect(object: Face, request: Request): Response {
  const query = new URL(request.url).searchParams;
  const answer = object.connectRenderer(
    request,
    Number(query.get('attempt')),
    Number(query.get('epoch')),
  );
  if (answer instanceof Response) return answer;
  return answer.ok ? refuse('internal_error') : refuse(answer.code, answer.extra);
}
