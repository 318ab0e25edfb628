// The naive sketch, over stores that fail.
import naive, { ExportJobState as NaiveObject } from '../../bench/naive/src/worker.ts';
import type { Env } from '../../bench/naive/src/types.ts';
import { faulty } from './faulty-env.ts';

export class ExportJobState extends NaiveObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, faulty(env));
  }
}

export default {
  fetch: (request, env) => naive.fetch(request, faulty(env)),
} satisfies ExportedHandler<Env>;
