import { VIEWER_SUBPROTOCOL } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import { checkJobId, checkOrigin, viewerOf } from '../lib/auth.ts';
import { archivedJob } from '../lib/d1.ts';
import { settingsOf } from '../lib/env.ts';
import { relink } from '../lib/links.ts';
import { greetingOf } from '../lib/messages.ts';
import { objectOf } from '../lib/object.ts';
import { Refusal } from '../lib/respond.ts';
import type { Ctx } from './context.ts';

/** `GET /api/jobs/:id/ws?since=`: a viewer's socket. The object accepts it and then sleeps. */
export async function watchJob(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') throw new Refusal('upgrade_required');
  checkOrigin(c.req.raw, settings);
  const tenant = viewerOf(c.req.raw, settings, id);
  const object = objectOf(c.env, id);
  if ((await object.view(tenant)) === null) {
    const archived = await archivedJob(c.env.DB, id, tenant);
    if (archived) return tellTheEnd(c.req.raw, relink(archived, settings));
    // In development a viewer may come before the job, as the contract's smoke test does.
    if (settings.DEVELOPMENT !== '1') throw new Refusal('job_not_found');
  }
  const url = new URL(c.req.url);
  url.pathname = '/ws';
  return object.fetch(new Request(url, c.req.raw));
}

/** The object is gone, and with it everything that could still change: one greeting says it all. */
function tellTheEnd(request: Request, job: ExportJob): Response {
  const [client, server] = Object.values(new WebSocketPair());
  if (!client || !server) throw new Refusal('internal_error');
  server.accept();
  for (const message of greetingOf(job)) server.send(JSON.stringify(message));
  server.close(1000, 'the job has ended');
  const asked = request.headers.has('sec-websocket-protocol');
  const headers = asked ? { 'sec-websocket-protocol': VIEWER_SUBPROTOCOL } : {};
  return new Response(null, { status: 101, webSocket: client, headers });
}
