import { VIEWER_SUBPROTOCOL } from '@export-jobs/protocol';
import type { Viewer } from '../access/callers.ts';
import { settingsOf } from '../lib/env.ts';
import { isByHand } from '../lib/ids.ts';
import { upgradeHeaders } from '../durable-objects/sockets.ts';
import { forwardToObject, lastSight, queryOf } from '../lib/sight.ts';
import type { LastSight } from '../lib/sight.ts';
import { Refusal } from '../lib/respond.ts';
import type { Renderer } from '../lib/types.ts';
import type { Ctx } from './context.ts';
import { isUpgrade } from './entrances.ts';

/** `GET /api/jobs/:id/ws?since=`: a viewer's socket. The object accepts it and then sleeps. */
export async function watchJob(c: Ctx, viewer: Viewer): Promise<Response> {
  if (!isUpgrade(c)) throw new Refusal('upgrade_required');
  const settings = settingsOf(c.env);
  const { id } = viewer;
  const since = c.req.query('since');
  const query = queryOf(viewer, since);
  const answer = await forwardToObject(c.env, id, 'ws', query, c.req.raw);
  if (answer.status !== 404) return answer;
  const last = await lastSight(c.env, settings, viewer, since);
  if (last.kind === 'over') return tellTheEnd(c.req.raw, last);
  // One that is only intended will be made. In development a viewer may come before the job, as the
  // contract's smoke test does.
  const mayCome = last.kind === 'intended' || isByHand(settings, id);
  if (!mayCome) return answer;
  query.set('early', '1');
  return forwardToObject(c.env, id, 'ws', query, c.req.raw);
}

/**
 * `GET /api/jobs/:id/renderer?epoch=`: the socket of an attempt's owner. A browser has no business here,
 * and no token for it.
 */
export async function connectRenderer(
  c: Ctx,
  id: string,
  { attempt }: NonNullable<Renderer>,
): Promise<Response> {
  if (!isUpgrade(c)) throw new Refusal('upgrade_required');
  const epoch = c.req.query('epoch') ?? '';
  if (!/^[1-9]\d{0,8}$/.test(epoch))
    throw new Refusal('invalid_query', { detail: '/epoch: is required' });
  const query = new URLSearchParams({ attempt: `${attempt}`, epoch });
  return forwardToObject(c.env, id, 'renderer', query, c.req.raw);
}

/** The object is gone, and with it everything that could still change. */
function tellTheEnd(
  request: Request,
  { messages }: Extract<LastSight, { kind: 'over' }>,
): Response {
  const [client, server] = Object.values(new WebSocketPair());
  if (!client || !server) throw new Refusal('internal_error');
  server.accept();
  for (const message of messages) server.send(JSON.stringify(message));
  server.close(1000, 'the job has ended');
  const headers = upgradeHeaders(request, VIEWER_SUBPROTOCOL);
  return new Response(null, { status: 101, webSocket: client, headers });
}
