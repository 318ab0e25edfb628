import { settingsOf } from './lib/env.ts';
import type { Env } from './lib/env.ts';
import { app } from './routes/app.ts';
import { sweep } from './sweep.ts';

export { ExportFeed } from './durable-objects/ExportFeed.ts';
export { ExportJobState } from './durable-objects/ExportJobState.ts';

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    settingsOf(env);
    await sweep(env, Date.now());
  },
} satisfies ExportedHandler<Env>;
