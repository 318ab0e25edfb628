import type { OwnerRight, ViewerRight } from '@export-jobs/protocol';
import {
  checkJobId,
  checkOrigin,
  feedOf,
  isNearby,
  ownerOf,
  rendererOf,
  uploadOf,
  viewerOf,
} from '../access/callers.ts';
import type { Call, FeedViewer, Owner, Viewer } from '../access/callers.ts';
import { addressOf, count } from '../access/rates.ts';
import { NotConfigured, settingsOf } from '../lib/env.ts';
import { Refusal } from '../lib/respond.ts';
import type { Payload } from '../lib/tokens.ts';
import type { Renderer } from '../lib/types.ts';
import type { Ctx } from './context.ts';

// Every route is entered through one of these: who calls is known, may do this, and does not do it too
// often, before any code of the route runs.

/** Who may enter a route. The tests ask of each route what it answers to each kind of caller. */
export type Access =
  | { by: 'anyone' }
  | { by: 'owner'; right: OwnerRight }
  /** Of the job that the path names. */
  | { by: 'viewer'; right: ViewerRight }
  | { by: 'feed' }
  /** Of the job that the path names; `byHand` is without a token, in development. */
  | { by: 'renderer'; byHand: boolean }
  /** Of the upload that the path names. */
  | { by: 'uploader' }
  /** Whoever holds an address that carries its own proof. */
  | { by: 'link' };

export interface Entrance {
  readonly access: Access;
  readonly enter: (c: Ctx) => Promise<Response>;
}

type Answer = Response | Promise<Response>;

export function anyone(handle: (c: Ctx) => Answer): Entrance {
  return entrance({ by: 'anyone' }, async (c) => handle(c));
}

export function owner(right: OwnerRight, handle: (c: Ctx, caller: Owner) => Answer): Entrance {
  return entrance({ by: 'owner', right }, async (c) => {
    const caller = await ownerOf(callOf(c));
    await countOwner(c, caller);
    if (!caller.rights.includes(right)) throw new Refusal('forbidden');
    return handle(c, caller);
  });
}

export function viewer(right: ViewerRight, handle: (c: Ctx, caller: Viewer) => Answer): Entrance {
  return entrance({ by: 'viewer', right }, async (c) => {
    const settings = settingsOf(c.env);
    const id = checkJobId(settings, c.req.param('id') ?? '');
    if (isUpgrade(c)) checkOrigin(c.req.raw, settings);
    const caller = await viewerOf(callOf(c), id);
    await countOwner(c, caller.owner);
    await count(c.env, 'RATE_VIEWERS', `${id} ${addressOf(c.req.raw)}`);
    if (!caller.rights.includes(right)) throw new Refusal('forbidden');
    return handle(c, caller);
  });
}

export function feedViewer(handle: (c: Ctx, caller: FeedViewer) => Answer): Entrance {
  return entrance({ by: 'feed' }, async (c) => {
    checkOrigin(c.req.raw, settingsOf(c.env));
    const caller = await feedOf(callOf(c));
    await countOwner(c, caller.owner);
    await count(c.env, 'RATE_LOOKUPS', `feed ${caller.tenant} ${addressOf(c.req.raw)}`);
    return handle(c, caller);
  });
}

/** For the calls of the contract, which a person may make by hand in development. */
export function rendererOrHand(handle: (c: Ctx, id: string, caller: Renderer) => Answer): Entrance {
  return entrance({ by: 'renderer', byHand: true }, async (c) => {
    const settings = settingsOf(c.env);
    const id = checkJobId(settings, c.req.param('id') ?? '');
    const caller = rendererOf(c.req.raw, settings, id);
    // Each attempt by itself: one that was fenced off must not use up what the next one needs.
    await count(c.env, 'RATE_RENDERERS', `${id} ${caller?.attempt ?? 'by hand'}`);
    return handle(c, id, caller);
  });
}

export function renderer(
  handle: (c: Ctx, id: string, caller: NonNullable<Renderer>) => Answer,
): Entrance {
  const { enter } = rendererOrHand((c, id, caller) => {
    if (!caller) throw new Refusal('unauthorized');
    return handle(c, id, caller);
  });
  return { access: { by: 'renderer', byHand: false }, enter };
}

/** For whoever was let fill an upload, by the token of that alone. */
export function uploader(handle: (c: Ctx, upload: Payload<'upload'>) => Answer): Entrance {
  return entrance({ by: 'uploader' }, async (c) => {
    const upload = uploadOf(c.req.raw, settingsOf(c.env), c.req.param('id') ?? '');
    await count(c.env, 'RATE_VIEWERS', `upload ${upload.u}`);
    return handle(c, upload);
  });
}

export function link(handle: (c: Ctx) => Answer): Entrance {
  return entrance({ by: 'link' }, async (c) => {
    await count(c.env, 'RATE_VIEWERS', `links ${addressOf(c.req.raw)}`);
    return handle(c);
  });
}

function callOf(c: Ctx): Call {
  const later = (work: Promise<unknown>) => c.executionCtx.waitUntil(work);
  return { request: c.req.raw, env: c.env, settings: settingsOf(c.env), later };
}

async function countOwner(c: Ctx, caller: Owner | null): Promise<void> {
  if (caller) await count(c.env, 'RATE_OWNERS', `${caller.tenant} ${caller.name}`);
}

/** Whoever comes with wrong credentials, or none, may not come as often as one pleases. */
function entrance(access: Access, enter: (c: Ctx) => Promise<Response>): Entrance {
  const guarded = async (c: Ctx): Promise<Response> => {
    checkMode(c);
    try {
      return await enter(c);
    } catch (error) {
      const isStranger =
        error instanceof Refusal &&
        (error.code === 'unauthorized' || error.code === 'link_expired');
      if (isStranger) await count(c.env, 'RATE_STRANGERS', addressOf(c.req.raw));
      throw error;
    }
  };
  return { access, enter: guarded };
}

const PASSED_ON = ['x-forwarded-for', 'forwarded'];

/**
 * Without credentials only whoever is at this machine is served.
 * @throws NotConfigured when a server that others reach runs in development.
 */
export function checkMode(c: Ctx): void {
  if (settingsOf(c.env).DEVELOPMENT !== '1') return;
  const { hostname } = new URL(c.req.url);
  // A proxy or tunnel in front may give this machine's name to calls from anywhere.
  const isPassedOn = PASSED_ON.some((name) => c.req.header(name) !== undefined);
  if (isNearby(hostname) && !isPassedOn) return;
  const whom = isPassedOn ? 'those whose calls a proxy passes on' : hostname;
  throw new NotConfigured(
    `DEVELOPMENT=1 asks nobody for credentials, so it is for this machine alone, and not for ${whom}: remove it.`,
  );
}

export const isUpgrade = (c: Ctx): boolean =>
  c.req.header('upgrade')?.toLowerCase() === 'websocket';
