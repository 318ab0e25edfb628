import * as v from 'valibot';

/** What an owner's credentials may do: `admin` is to manage the keys of its tenant. */
export const OWNER_RIGHTS = ['create', 'read', 'cancel', 'delete', 'admin'] as const;
/** Those of credentials that name none. */
export const USUAL_RIGHTS = [
  'create',
  'read',
  'cancel',
  'delete',
] as const satisfies readonly OwnerRight[];
export type OwnerRight = (typeof OWNER_RIGHTS)[number];

/** What a viewer's token may do with the one job that it is for. */
export const VIEWER_RIGHTS = ['watch', 'download', 'cancel'] as const;
export type ViewerRight = (typeof VIEWER_RIGHTS)[number];

/** Whose jobs are whose. Part of addresses in the file store, so no slash and nothing hidden. */
export const Tenant = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/));

/** The name of a set of limits. */
export const PlanName = v.pipe(v.string(), v.regex(/^[\w-]{1,32}$/));

const each = <T extends readonly string[]>(names: T) =>
  v.pipe(v.array(v.picklist(names)), v.minLength(1), v.maxLength(names.length));

/** Longest life of a viewer's token, seconds. */
export const MAX_TOKEN_S = 24 * 60 * 60;

/** `POST /api/jobs/{id}/tokens`: a token for this job that a browser may have. */
export const TokenRequest = v.strictObject({
  rights: v.optional(each(VIEWER_RIGHTS), ['watch', 'download']),
  /** Seconds. A socket that is open then is closed with the next thing that it would be told. */
  ttl_s: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_TOKEN_S)),
    15 * 60,
  ),
});
export type TokenRequest = v.InferOutput<typeof TokenRequest>;

/** The answer. `expires_at` in epoch ms. */
export const TokenReply = v.object({
  viewer_token: v.string(),
  rights: v.array(v.picklist(VIEWER_RIGHTS)),
  expires_at: v.number(),
});
export type TokenReply = v.InferOutput<typeof TokenReply>;

/** `POST /api/keys`. Only the operator's key may name a tenant that is not its own. */
export const KeyRequest = v.strictObject({
  name: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(100)),
  tenant: v.optional(Tenant),
  rights: v.optional(each(OWNER_RIGHTS), [...USUAL_RIGHTS]),
  /** By default its maker's. */
  plan: v.optional(PlanName),
  /** Epoch ms; by default it is valid until it is revoked, or its maker's key ends. */
  expires_at: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
});
export type KeyRequest = v.InferOutput<typeof KeyRequest>;

/** An API key as it is shown: never the key itself. Times in epoch ms. */
export const ApiKey = v.object({
  id: v.string(),
  /** How the key begins, to find it among others. */
  prefix: v.string(),
  name: v.string(),
  tenant: v.string(),
  rights: v.array(v.picklist(OWNER_RIGHTS)),
  plan: v.string(),
  created_at: v.number(),
  expires_at: v.nullable(v.number()),
  /** To the hour. */
  last_used_at: v.nullable(v.number()),
  revoked_at: v.nullable(v.number()),
});
export type ApiKey = v.InferOutput<typeof ApiKey>;

/** The answer to the `POST`: the only time that the key is told. */
export const KeyReply = v.object({ key: ApiKey, secret: v.string() });
export type KeyReply = v.InferOutput<typeof KeyReply>;

/** `GET /api/keys?tenant=`. */
export const KeyList = v.object({ data: v.array(ApiKey) });
export type KeyList = v.InferOutput<typeof KeyList>;
