import { KeyRequest, Tenant } from '@export-jobs/protocol';
import type { KeyList, KeyReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { sooner } from '../access/callers.ts';
import type { Owner } from '../access/callers.ts';
import { createKey, listKeys, revokeKey } from '../access/keys.ts';
import { parseOr, readBody } from '../lib/body.ts';
import { Refusal, json } from '../lib/respond.ts';
import type { Ctx } from './context.ts';

const Query = v.strictObject({ tenant: v.optional(Tenant) });

/** `POST /api/keys`: a new key, told this once. Nobody gives rights away that it has not. */
export async function makeKey(c: Ctx, caller: Owner): Promise<Response> {
  const { name, rights, ...asked } = await readBody(c.req.raw, KeyRequest);
  const tenant = tenantOf(caller, asked.tenant);
  const plan = asked.plan ?? caller.plan;
  const isMore = rights.some((right) => !caller.rights.includes(right));
  if (isMore || (plan !== caller.plan && !caller.isOperator)) throw new Refusal('forbidden');
  const expires_at = sooner(asked.expires_at ?? null, caller.until);
  const made: KeyReply = await createKey(c.env.DB, { name, tenant, rights, plan, expires_at });
  return json(made, 201);
}

/** `GET /api/keys?tenant=`: the keys, without what they are. */
export async function showKeys(c: Ctx, caller: Owner): Promise<Response> {
  const { tenant } = parseOr('invalid_query', Query, c.req.query());
  const data: KeyList['data'] = await listKeys(c.env.DB, tenantOf(caller, tenant));
  return json({ data });
}

/** `DELETE /api/keys/:id`: revokes a key for good, everywhere within half a minute. */
export async function removeKey(c: Ctx, { tenant, isOperator }: Owner): Promise<Response> {
  const key = await revokeKey(c.env.DB, c.req.param('id') ?? '', isOperator ? null : tenant);
  if (!key) throw new Refusal('key_not_found');
  return json({ key });
}

/** Only the operator has to do with the keys of other tenants. */
function tenantOf({ tenant, isOperator }: Owner, named: string | undefined): string {
  if (named === undefined || named === tenant) return tenant;
  if (!isOperator) throw new Refusal('forbidden');
  return named;
}
