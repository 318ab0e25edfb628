import { registerHooks } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { parentPort } from 'node:worker_threads';
import * as v from 'valibot';
import { OUTAGES } from './faults.ts';
import { addSummary, emptySummary } from './result.ts';

// A thread that runs worlds, one after the other, for whoever asks with an `Order`.

registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== 'cloudflare:workers') return next(specifier, context);
    return {
      url: new URL('platform/cloudflare-workers.ts', import.meta.url).href,
      shortCircuit: true,
    };
  },
});
// A thread does not live long enough for the optimiser to warm up.
setFlagsFromString('--always-sparkplug');
// Errors are part of the game here, and their traces would cost more than the game.
Error.stackTraceLimit = 0;
// Only now: what it imports needs the hook.
const { play } = await import('./play.ts');

const Order = v.object({
  seeds: v.array(v.number()),
  trace: v.optional(v.boolean(), false),
  outage: v.optional(v.nullable(v.picklist(OUTAGES)), null),
  /** Stop at the first violation. */
  hasty: v.optional(v.boolean(), false),
});

parentPort?.on('message', (message: unknown) => void obey(message));

async function obey(message: unknown): Promise<void> {
  const { seeds, trace, outage, hasty } = v.parse(Order, message);
  const summary = emptySummary();
  const lines: string[] = [];
  for (const seed of seeds) {
    const { trace: told, ...result } = await play(seed, { trace, outage });
    addSummary(summary, result);
    if (trace) lines.push(...told);
    if (hasty && summary.violations.length > 0) break;
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origins
  parentPort?.postMessage({ summary, trace: lines });
}
