import { settingsOf } from './lib/env.ts';
import type { Env } from './lib/env.ts';
import { measureHourly } from './lib/speeds.ts';
import { app } from './routes/app.ts';
import { sweep } from './sweep.ts';

export { ExportFeed } from './durable-objects/ExportFeed.ts';
export { ExportJobState } from './durable-objects/ExportJobState.ts';

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    settingsOf(env);
    const now = Date.now();
    await Promise.all([sweep(env, now), measureHourly(env.DB, now)]);
  },
} satisfies ExportedHandler<Env>;
