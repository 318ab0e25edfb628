// The worker of `dead-time.ts`, whose handler does nothing: with this project's loop, or with one that
// waits as RunPod's Python worker does. The calls are made by the same code in both.
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { Api } from '../renderer/src/runpod/api.ts';
import { readWorkerEnv } from '../renderer/src/runpod/env.ts';
import { serve } from '../renderer/src/runpod/index.ts';

export type Loop = 'ours' | 'sleeping';

const Job = v.looseObject({ id: v.string() });

if (process.argv[2] === 'sleeping') await takeAndSleep();
else await serve(() => Promise.resolve({ output: 'done' }), { log: () => undefined });

/**
 * The take loop of runpod-python 1.12.0 (rp_scale.py, `get_jobs`): while a job is in hand it looks
 * again only once a second whether there is room for the next.
 */
async function takeAndSleep(): Promise<never> {
  const api = new Api(readWorkerEnv(process.env));
  const never = new AbortController().signal;
  let held = 0;
  const work = async (id: string) => {
    await api.done(id, JSON.stringify({ output: 'done' }), false, never);
    held -= 1;
  };
  for (;;) {
    if (held > 0) {
      await sleep(1000);
      continue;
    }
    const { status, text } = await api.take(1, false, never);
    if (status !== 200) continue;
    held += 1;
    void work(v.parse(Job, JSON.parse(text)).id);
  }
}
