import { checkJobId } from '../access/callers.ts';
import type { Owner } from '../access/callers.ts';
import { isCallName, readCall } from '../lib/calls.ts';
import { settingsOf } from '../lib/env.ts';
import { objectOf } from '../lib/object.ts';
import { Refusal, json } from '../lib/respond.ts';
import type { Renderer } from '../lib/types.ts';
import type { Ctx } from './context.ts';

/** `POST /api/jobs/:id/do/{init|claim|progress|complete|error}`: the contract's calls. */
export async function callJob(c: Ctx, id: string, renderer: Renderer): Promise<Response> {
  const name = c.req.param('name') ?? '';
  if (!isCallName(name)) throw new Refusal('not_found');
  // A job by hand has no attempt that a token could be for.
  if (name === 'init' && renderer) throw new Refusal('forbidden');
  const call = await readCall(name, c.req.raw);
  const answer = await objectOf(c.env, id).call(call, renderer);
  if (!answer.ok) throw new Refusal(answer.code, answer.extra);
  return json(answer.body);
}

/** `GET /api/jobs/:id/do/status`: the job, how many watch it, and when its renderer last spoke. */
export async function jobStatus(c: Ctx, { tenant }: Owner): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const status = await objectOf(c.env, id).status(tenant);
  // An id that is somebody else's must look like one that is nobody's.
  if (!('job' in status) && settings.DEVELOPMENT !== '1') throw new Refusal('job_not_found');
  return json(status);
}
