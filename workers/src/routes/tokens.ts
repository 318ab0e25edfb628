import { TokenRequest } from '@export-jobs/protocol';
import type { TokenReply } from '@export-jobs/protocol';
import { checkJobId, sooner, viewerRights } from '../access/callers.ts';
import type { Owner } from '../access/callers.ts';
import { readBody } from '../lib/body.ts';
import { archivedJob } from '../lib/job-views.ts';
import { settingsOf } from '../lib/env.ts';
import { objectOf } from '../lib/object.ts';
import { Refusal, json } from '../lib/respond.ts';
import { signToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';

/** `POST /api/jobs/:id/tokens`: lets whoever is given the token do some of what the owner may. */
export async function makeViewerToken(c: Ctx, caller: Owner): Promise<Response> {
  const { tenant, rights: own, until } = caller;
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const { rights, ttl_s } = await readBody(c.req.raw, TokenRequest);
  const isThere =
    (await objectOf(c.env, id).view(tenant)) ?? (await archivedJob(c.env.DB, id, tenant));
  if (!isThere) throw new Refusal('job_not_found');
  const mayGive = viewerRights(own);
  if (rights.some((right) => !mayGive.includes(right))) throw new Refusal('forbidden');
  const expires_at = sooner(Date.now() + ttl_s * 1000, until);
  const token = { j: id, r: rights, exp: expires_at };
  const viewer_token = signToken(settings.SIGNING_KEYS, 'view', token);
  return json({ viewer_token, rights, expires_at } satisfies TokenReply, 201);
}
