import { checkJobId, checkOrigin, viewerOf } from '../lib/auth.ts';
import { settingsOf } from '../lib/env.ts';
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
  // In development a viewer may come before the job, as the contract's smoke test does.
  if (settings.DEVELOPMENT !== '1' && (await object.view(tenant)) === null) {
    throw new Refusal('job_not_found');
  }
  const url = new URL(c.req.url);
  url.pathname = '/ws';
  return object.fetch(new Request(url, c.req.raw));
}
