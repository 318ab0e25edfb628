import { checkJobId, ownerOf, rendererOf } from '../lib/auth.ts';
import { isCallName, readCall } from '../lib/calls.ts';
import { settingsOf } from '../lib/env.ts';
import { objectOf } from '../lib/object.ts';
import { Refusal, json } from '../lib/respond.ts';
import type { Ctx } from './context.ts';

/** `POST /api/jobs/:id/do/{init|claim|progress|complete|error}`: the contract's calls. */
export async function callJob(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const name = c.req.param('name') ?? '';
  if (!isCallName(name)) throw new Refusal('not_found');
  const renderer = rendererOf(c.req.raw, settings, id);
  // A job by hand has no attempt that a token could be for.
  if (name === 'init' && renderer) throw new Refusal('forbidden');
  const call = await readCall(name, c.req.raw);
  const answer = await objectOf(c.env, id).call(call, renderer);
  if (!answer.ok) throw new Refusal(answer.code, answer.extra);
  return json(answer.body);
}

/** `GET /api/jobs/:id/do/status`: the job, how many watch it, and when its renderer last spoke. */
export async function jobStatus(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  ownerOf(c.req.raw, settings);
  return json(await objectOf(c.env, id).status());
}
