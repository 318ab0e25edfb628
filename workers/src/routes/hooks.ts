import * as v from 'valibot';
import { checkJobId } from '../access/callers.ts';
import { count } from '../access/rates.ts';
import { readText } from '../lib/body.ts';
import { settingsOf } from '../lib/env.ts';
import { objectOf } from '../lib/object.ts';
import { Refusal, json } from '../lib/respond.ts';
import { verifyToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';

/** All that is read of it: the rest is asked for, because nobody signs these calls. */
const Hook = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)) }),
);

/**
 * `POST /api/hooks/runpod/:id?token=`: RunPod says that a job of an attempt has come to an end. Only
 * a hint: it makes the object ask. RunPod takes nothing but exactly 200 for an answer.
 */
export async function hearRunPod(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const token = c.req.query('token') ?? '';
  const proven = verifyToken(settings.SIGNING_KEYS, 'webhook', token, Date.now());
  if (!proven || proven.j !== id) throw new Refusal('unauthorized');
  // The token is in RunPod's console, and each hint may make the object ask RunPod.
  await count(c.env, 'RATE_RENDERERS', `hook ${id}`);
  // Neither its type nor its shape is documented: what cannot be read is a hint all the same.
  const hook = v.safeParse(Hook, await readText(c.req.raw).catch(() => ''));
  await objectOf(c.env, id).hint(proven.a, hook.success ? hook.output.id : null);
  return json({ ok: true });
}
