// Responsible for breaking things at the moments that the plan says: processes, connections, stores.
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, type Process } from '../e2e/support/processes.ts';
import type { Stack } from '../scripts/stack.ts';
import type { Blow, Link } from './plan.ts';
import type { ChaosProxy } from './proxy.ts';
import type { Random } from './random.ts';
import type { StoreFaults } from './stores.ts';
import type { Tally } from './tally.ts';

/** How long it waits for an encoder to strike at, ms. */
const PATIENCE_MS = 8000;

export interface Victims {
  readonly stack: Stack;
  /** Below it encoders work. */
  readonly scratch: string;
  /** Encoders that were struck already: one that stands still cannot be stopped again. */
  readonly struck: Set<number>;
  readonly proxies: Readonly<Record<Link, ChaosProxy>>;
  readonly stores: StoreFaults;
  readonly random: Random;
  readonly tally: Tally;
  /** Aborts when nothing may be broken any more. */
  readonly healed: AbortSignal;
}

/** Strikes once. Counts only what hit something. */
export async function strike(blow: Blow, victims: Victims): Promise<void> {
  const { stack, proxies, stores, tally } = victims;
  switch (blow.kind) {
    case 'kill workerd':
      return kill(blow.kind, runtime(stack, false), victims);
    case 'kill workerd (front)':
      return kill(blow.kind, runtime(stack, true), victims);
    case 'kill renderer':
      return kill(blow.kind, oneRenderer(victims), victims);
    case 'pause renderer':
      return await pauseRenderer(blow.ms, victims);
    case 'kill encoder':
      return kill(blow.kind, await nextEncoder(victims), victims);
    case 'stop encoder':
      return kill(blow.kind, await nextEncoder(victims), victims, 'SIGSTOP');
    case 'cut connections':
      tally.add(`connections cut`, blow.link);
      return proxies[blow.link].cut();
    case 'partition':
      tally.add(`partition`, `${blow.link} ${blow.ms} ms`);
      return await proxies[blow.link].partition(blow.ms);
    case 'outage of D1':
      tally.add(blow.kind, `${blow.ms} ms`);
      return stores.outage('d1', blow.ms);
    case 'outage of R2':
      tally.add(blow.kind, `${blow.ms} ms`);
      return stores.outage('r2', blow.ms);
  }
}

function kill(
  what: string,
  pid: number | undefined,
  { tally }: Victims,
  sign: NodeJS.Signals = 'SIGKILL',
): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, sign);
    tally.add(what, `${pid}`);
  } catch {
    // It ended by itself in this very moment.
  }
}

/** One of the two runtimes below wrangler: the one that runs our code, or the one in front of it. */
function runtime(stack: Stack, front: boolean): number | undefined {
  const isFront = ({ args }: Process) => args.includes(`entry=127.0.0.1:${stack.port} `);
  return descendants(stack.worker.pid ?? 0)
    .filter(({ args }) => args.includes('workerd'))
    .find((one) => isFront(one) === front)?.pid;
}

function oneRenderer({ stack, random }: Victims): number | undefined {
  return random.pick(stack.renderers).pid;
}

/** The process that comes back and believes that the job is still its own. */
async function pauseRenderer(ms: number, victims: Victims): Promise<void> {
  const pid = oneRenderer(victims);
  kill('pause renderer', pid, victims, 'SIGSTOP');
  await sleep(ms, undefined, { signal: victims.healed }).catch(() => undefined);
  try {
    if (pid !== undefined) process.kill(pid, 'SIGCONT');
  } catch {
    // It was killed while it was paused.
  }
}

/** The next encoder that is at work; what a renderer asks ffmpeg when it starts is none. */
async function nextEncoder({
  stack,
  scratch,
  struck,
  healed,
}: Victims): Promise<number | undefined> {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline && !healed.aborted) {
    const encoder = stack.renderers
      .flatMap(({ pid }) => (pid === undefined ? [] : descendants(pid)))
      .find(
        ({ pid, program, cwd }) =>
          program === 'ffmpeg' && cwd.startsWith(scratch) && !struck.has(pid),
      );
    if (encoder) struck.add(encoder.pid);
    if (encoder) return encoder.pid;
    await sleep(25);
  }
  return undefined;
}
