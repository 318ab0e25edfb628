// A worker as a process of its own. Its jobs run until they are aborted, or as long as they say.
import { serve } from '../index.ts';
import { pause } from '../pause.ts';

await serve(
  async ({ input }, { signal, log }) => {
    log('info', 'handling', { aborted: signal.aborted });
    const ms = typeof input === 'object' && input !== null && 'ms' in input ? Number(input.ms) : 0;
    await pause(ms, signal);
    return signal.aborted ? { error: 'given back' } : { output: 'done' };
  },
  { retryMs: 100 },
);
