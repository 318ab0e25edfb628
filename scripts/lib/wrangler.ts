import { inRoot } from './paths.ts';

/** Wrangler's own script: through `npx` or its wrapper, signals would be lost. */
export const WRANGLER = inRoot('node_modules', 'wrangler', 'wrangler-dist', 'cli.js');

/** The Worker's configuration. */
export const CONFIG = inRoot('workers', 'wrangler.jsonc');

/** Keeps wrangler from calling anybody: a laptop may be offline. */
export const WRANGLER_ENV: Readonly<Record<string, string>> = {
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  WRANGLER_WRITE_LOGS: 'false',
  NO_COLOR: '1',
  FORCE_COLOR: '0',
  NODE_NO_WARNINGS: '1',
};

/** What wrangler prints of our own questions. */
const OF_A_PROBE = /GET \/healthz /;
/** Its proxy, which prints the whole address of a call that was cut, with the token that a link carries. */
const OF_THE_PROXY = /\bProxyWorker\b/;

/** What of a line of wrangler's may be shown and kept; null is nothing. The Worker's own lines stay as they are. */
export function worthShowing(line: string): string | null {
  if (OF_A_PROBE.test(line)) return null;
  return OF_THE_PROXY.test(line) ? line.replaceAll(/\?\S+/g, '?…') : line;
}
