import path from 'node:path';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin';
import * as v from 'valibot';
import { defineConfig } from 'vitest/config';
import { unstable_readConfig as readConfig } from 'wrangler';
import { TEST_BINDINGS } from '../../workers/test/bindings.ts';

const inRoot = (...parts: string[]) => path.join(import.meta.dirname, '..', '..', ...parts);
const configPath = inRoot('workers', 'wrangler.jsonc');

/** Whether Workers Logs gets an event for every request, which is a line of the bill. */
const Config = v.object({
  observability: v.optional(
    v.object({
      enabled: v.optional(v.boolean(), false),
      logs: v.optional(v.object({ invocation_logs: v.optional(v.boolean(), true) })),
    }),
  ),
});
const { observability } = v.parse(Config, readConfig({ config: configPath }));
const isLogged = observability?.enabled === true && observability.logs?.invocation_logs !== false;

const bindings = {
  ...TEST_BINDINGS,
  TEST_MIGRATIONS: await readD1Migrations(inRoot('workers', 'migrations')),
  NAIVE_MIGRATIONS: await readD1Migrations(inRoot('bench', 'naive', 'migrations')),
  INVOCATION_LOGS: isLogged ? '1' : '0',
};

export default defineConfig({
  plugins: [
    cloudflareTest({
      main: path.join(import.meta.dirname, 'worker.ts'),
      wrangler: { configPath },
      miniflare: {
        bindings,
        d1Databases: ['NAIVE_DB'],
        durableObjects: { NAIVE_JOB: { className: 'NaiveJobState', useSQLite: true } },
      },
    }),
  ],
  test: {
    name: 'bill',
    root: inRoot(),
    include: ['bench/bill/*.test.ts'],
    testTimeout: 120_000,
  },
});
