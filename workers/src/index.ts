import { settingsOf } from './lib/env.ts';
import type { Env } from './lib/env.ts';
import { measureHourly } from './lib/speeds.ts';
import { app } from './routes/app.ts';
import { sweep } from './sweep.ts';

export { ExportFeed } from './durable-objects/ExportFeed.ts';
export { ExportJobState } from './durable-objects/ExportJobState.ts';

export default {
  fetch: app.fetch,
  async scheduled({ scheduledTime }, env) {
    settingsOf(env);
    // When it was due decides whether it is that of the hour: it may come late.
    await Promise.all([sweep(env, Date.now()), measureHourly(env.DB, scheduledTime)]);
  },
} satisfies ExportedHandler<Env>;
