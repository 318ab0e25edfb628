import { isCallName, readCall } from '../lib/calls.ts';
import type { Call } from '../lib/calls.ts';
import { NotConfigured } from '../lib/env.ts';
import { Refusal, json, refuse } from '../lib/respond.ts';
import type { Answer, Renderer, StatusReply } from '../lib/types.ts';

/** What the contract's HTTP face needs of the object. */
interface Face {
  call(call: Call, from: Renderer): Promise<Answer>;
  status(): StatusReply;
  watch(request: Request): Response | null;
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
      ? json(object.status())
      : refuse('method_not_allowed', {}, { allow: 'GET' });
  }
  if (name === 'ws' || name === '') {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket') {
      return name === '' ? refuse('not_found') : refuse('upgrade_required');
    }
    return object.watch(request) ?? refuse('too_many_viewers');
  }
  if (!isCallName(name)) return refuse('not_found');
  if (request.method !== 'POST') return refuse('method_not_allowed', {}, { allow: 'POST' });
  const answer = await object.call(await readCall(name, request), null);
  return answer.ok ? json(answer.body) : refuse(answer.code, answer.extra);
}
