import * as v from 'valibot';
import type { ExportFeed } from '../durable-objects/ExportFeed.ts';
import type { ExportJobState } from '../durable-objects/ExportJobState.ts';
import { Plans } from '../access/plans.ts';
import { Policy } from '../job/policy.ts';

declare global {
  namespace Cloudflare {
    /** The bindings of `wrangler.jsonc`; every variable is text and optional until parsed. */
    interface Env {
      EXPORT_JOB: DurableObjectNamespace<ExportJobState>;
      /** Optional: without it there are no feeds, and nothing is told to any. */
      EXPORT_FEED?: DurableObjectNamespace<ExportFeed>;
      DB: D1Database;
      VIDEOS: R2Bucket;
      /** Optional: where one is missing, those calls are not counted. */
      RATE_OWNERS?: RateLimit;
      RATE_VIEWERS?: RateLimit;
      RATE_RENDERERS?: RateLimit;
      RATE_LOOKUPS?: RateLimit;
      RATE_STRANGERS?: RateLimit;
      DEVELOPMENT?: string;
      SIGNING_KEYS?: string;
      ID_KEY?: string;
      API_KEY?: string;
      PUBLIC_URL?: string;
      ALLOWED_ORIGINS?: string;
      SOURCE_HOSTS?: string;
      RUNPOD_ENDPOINT_URL?: string;
      RUNPOD_API_KEY?: string;
      POLICY?: string;
      PLANS?: string;
      JWT_ISSUER?: string;
      R2_S3?: string;
    }
  }
}
export type Env = Cloudflare.Env;

/** A key that signs: its id travels in the token, its secret (32 bytes or more, in hex) never does. */
export interface SigningKey {
  kid: string;
  secret: string;
}

const SigningKeys = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9]+:[0-9a-f]{64,}(,[a-z0-9]+:[0-9a-f]{64,})*$/, 'must be kid:hex[,kid:hex…]'),
  v.transform((text): SigningKey[] =>
    text.split(',').map((pair) => {
      const [kid = '', secret = ''] = pair.split(':');
      return { kid, secret };
    }),
  ),
);
const Url = v.pipe(
  v.string(),
  v.url(),
  v.transform((url) => url.replace(/\/+$/, '')),
);
const List = v.pipe(
  v.string(),
  v.transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter(Boolean),
  ),
);
const KeySet = v.object({ keys: v.array(v.looseObject({ kty: v.string() })) });
const JwtIssuer = v.strictObject({
  /** What `iss` and `aud` of its tokens must be. */
  issuer: v.pipe(v.string(), v.minLength(1)),
  audience: v.pipe(v.string(), v.minLength(1)),
  /** Where its public keys are, or the keys themselves. */
  jwks: v.union([v.pipe(v.string(), v.url(), v.regex(/^https:/)), KeySet]),
  /** The claim that names the tenant. */
  tenant_claim: v.optional(v.string(), 'tenant'),
});
const R2Keys = v.strictObject({
  /** Such as `https://<account>.r2.cloudflarestorage.com`. */
  endpoint: Url,
  /** The one that is bound as VIDEOS. */
  bucket: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9-]{1,62}$/)),
  access_key_id: v.pipe(v.string(), v.minLength(1)),
  secret_access_key: v.pipe(v.string(), v.minLength(1)),
});
/** An identity provider of the app's, whose tokens are taken from owners. */
export type JwtIssuer = v.InferOutput<typeof JwtIssuer>;

const Settings = v.pipe(
  v.object({
    /** No credentials are asked for. Only the start commands of a laptop set this. */
    DEVELOPMENT: v.optional(v.literal('1')),
    API_KEY: v.optional(v.pipe(v.string(), v.minLength(32))),
    SIGNING_KEYS: SigningKeys,
    /** Marks job ids as made here. Never rotated: with another key every job is unknown. */
    ID_KEY: v.pipe(v.string(), v.regex(/^[0-9a-f]{64,}$/)),
    /** Where this server is reached from outside: renderers call back there. */
    PUBLIC_URL: Url,
    RUNPOD_ENDPOINT_URL: Url,
    RUNPOD_API_KEY: v.pipe(v.string(), v.minLength(1)),
    /** Other origins whose pages may call and watch. */
    ALLOWED_ORIGINS: v.optional(List, ''),
    /** Hosts (`name` or `name:port`) that inputs may be read from though they are not public. */
    SOURCE_HOSTS: v.optional(List, ''),
    POLICY: v.pipe(v.optional(v.string(), '{}'), v.parseJson(), Policy),
    PLANS: v.pipe(v.optional(v.string(), '{}'), v.parseJson(), Plans),
    JWT_ISSUER: v.optional(v.pipe(v.string(), v.parseJson(), JwtIssuer)),
    R2_S3: v.optional(v.pipe(v.string(), v.parseJson(), R2Keys)),
  }),
  v.forward(
    v.partialCheck(
      [['DEVELOPMENT'], ['API_KEY']],
      (s) => s.DEVELOPMENT === '1' || s.API_KEY !== undefined,
      'required in production',
    ),
    ['API_KEY'],
  ),
);
/** The configuration, checked. */
export type Settings = v.InferOutput<typeof Settings>;

/** The configuration is not usable; the message names the variables and never their values. */
export class NotConfigured extends Error {}

const parsed = new WeakMap<Env, Settings>();

/**
 * Reads the configuration.
 * @throws NotConfigured when a variable is missing or malformed.
 */
export function settingsOf(env: Env): Settings {
  const known = parsed.get(env);
  if (known) return known;
  const result = v.safeParse(Settings, env);
  if (!result.success) {
    const names = new Set(result.issues.map((issue) => v.getDotPath(issue)?.split('.')[0] ?? '?'));
    throw new NotConfigured(`missing or malformed: ${[...names].join(', ')}`);
  }
  parsed.set(env, result.output);
  return result.output;
}
