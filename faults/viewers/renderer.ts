// Responsible for a renderer that speaks to the server as the real one does, with its very code, and makes
// up the work: it reports as planned, stores a few bytes, and ends as planned.
import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClaimReply, RenderTicket } from '@export-jobs/protocol';
import { Channel, claimJob } from '../../renderer/src/callbacks.ts';
import { digestOf } from '../../renderer/src/file-digest.ts';
import { PATIENCE } from '../../renderer/src/patience.ts';
import { putOutput } from '../../renderer/src/put-output.ts';
import type { AttemptPlan } from './plan.ts';

/** A server that is started again answers within seconds. */
const HASTY = { ...PATIENCE, baseMs: 200, capMs: 1500, callMs: 4000, dialCapMs: 2000 };
const STEP_MS = 100;
/** The most that is reported; 100 is said by the server alone. */
const TOP = 99.9;

/** The bytes that every job stores as its film, and the file that they are in. */
export interface Film {
  readonly path: string;
  readonly bytes: Buffer;
}

/**
 * Plays one attempt. Ends by itself.
 * @throws what the server refused with, or that it could not be reached for a lease.
 */
export async function playAttempt(
  ticket: RenderTicket,
  providerJobId: string,
  plan: AttemptPlan,
  film: Film,
  over: AbortSignal,
): Promise<void> {
  const claim = {
    nonce: randomUUID(),
    provider_job_id: providerJobId,
    worker_id: 'scripted',
    hardware: 'cpu',
  };
  const { channel: offered, ...claimed } = await claimJob(ticket, claim, over, HASTY);
  const bySocket = plan.way === 'socket' && offered ? { channel: offered } : {};
  const channel = new Channel(ticket, { ...claimed, ...bySocket }, () => undefined, HASTY);
  try {
    const signal = AbortSignal.any([channel.signal, over]);
    await work(plan.ms, channel, signal);
    await conclude(plan, channel, { ticket, claimed, film, signal });
  } finally {
    await channel.close();
  }
}

async function work(ms: number, channel: Channel, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  for (let done = 0; done < 1;) {
    await sleep(STEP_MS, undefined, { signal });
    done = Math.min(1, (performance.now() - startedAt) / ms);
    channel.report({ stage: done < 0.1 ? 'downloading' : 'rendering', progress: done * TOP });
  }
}

interface Work {
  readonly ticket: RenderTicket;
  readonly claimed: ClaimReply;
  readonly film: Film;
  readonly signal: AbortSignal;
}

async function conclude({ end }: AttemptPlan, channel: Channel, made: Work): Promise<void> {
  switch (end) {
    case 'vanish':
      return;
    case 'fail':
      return await channel.fail({ error: 'as planned', code: 'encoder_failed' });
    case 'give up':
      return await channel.fail({ error: 'as planned', should_retry: false });
    case 'complete':
      break;
  }
  const { ticket, claimed, film, signal } = made;
  const { length: size } = film.bytes;
  const handle = await open(film.path);
  try {
    const file = { handle, size };
    const digest = await digestOf(file, size, signal);
    const { sha256 } = digest;
    const manifest = { size, sha256, width: 16, height: 16, duration_ms: 1000, frames: 24 };
    const { output } = claimed;
    await putOutput({ output, token: ticket.token, file, manifest, digest, signal });
    await channel.complete({ output_video_key: output.key, manifest });
  } finally {
    await handle.close();
  }
}
