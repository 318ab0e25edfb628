// The real Worker and the real object, over stores that fail.
import real, { ExportJobState as RealObject } from '../../workers/src/index.ts';
import type { Env } from '../../workers/src/lib/env.ts';
import { faulty } from './faulty-env.ts';

declare global {
  namespace Cloudflare {
    interface Env {
      FAULTS_URL?: string;
    }
  }
}

export { ExportFeed } from '../../workers/src/index.ts';

export class ExportJobState extends RealObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, faulty(env));
  }
}

export default {
  fetch: (request, env, ctx) => real.fetch(request, faulty(env), ctx),
  scheduled: (controller, env) => real.scheduled(controller, faulty(env)),
} satisfies ExportedHandler<Env>;
