// The real Worker and the real object, and the naive sketch of both, on a meter.
import real, {
  ExportFeed as RealFeed,
  ExportJobState as RealObject,
} from '../../workers/src/index.ts';
import type { Env } from '../../workers/src/lib/env.ts';
import type { Env as NaiveEnv } from '../naive/src/types.ts';
import naive, { ExportJobState as NaiveObject } from '../naive/src/worker.ts';
import { countRequest, meterEntrances, meterEnv, meterState, meterTimers } from './meter.ts';

/** The host under which the naive sketch is reached. */
export const NAIVE_HOST = 'naive.example';

export class ExportJobState extends RealObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(meterState(ctx), meterEnv(env, 'object'));
  }
}

/** Nobody watches the feeds here, so all that they do is to be told. */
export class ExportFeed extends RealFeed {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, meterEnv(env, 'object'));
  }
}

export class NaiveJobState extends NaiveObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(meterState(ctx), meterEnv(naiveEnv(env), 'object'));
  }
}

meterEntrances(ExportJobState.prototype, RealObject.prototype);
meterEntrances(ExportFeed.prototype, RealFeed.prototype);
meterEntrances(NaiveJobState.prototype, NaiveObject.prototype);
meterTimers();

export default {
  fetch(request, env, ctx) {
    countRequest(request);
    return new URL(request.url).host === NAIVE_HOST
      ? naive.fetch(request, meterEnv(naiveEnv(env), 'worker'))
      : real.fetch(request, meterEnv(env, 'worker'), ctx);
  },
  scheduled: (controller, env) => real.scheduled(controller, meterEnv(env, 'worker')),
} satisfies ExportedHandler<Env>;

function naiveEnv(env: Env): NaiveEnv {
  return {
    EXPORT_JOB: env.NAIVE_JOB,
    DB: env.NAIVE_DB,
    VIDEOS: env.VIDEOS,
    PUBLIC_URL: `http://${NAIVE_HOST}`,
    RUNPOD_ENDPOINT_URL: env.RUNPOD_ENDPOINT_URL ?? '',
    RUNPOD_API_KEY: env.RUNPOD_API_KEY ?? '',
  };
}
