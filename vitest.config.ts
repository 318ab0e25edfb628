import path from 'node:path';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';
import { TEST_BINDINGS } from './workers/test/bindings.ts';

const migrations = await readD1Migrations(path.join(import.meta.dirname, 'workers', 'migrations'));

const bindings = { ...TEST_BINDINGS, TEST_MIGRATIONS: migrations };

/** How long a test or its set-up may take on a machine that does ten times more than this, ms. */
const patient = { testTimeout: 180_000, hookTimeout: 180_000 };
/** Tests against the running stack: each file has one of its own, so one file at a time. */
const stack = { testTimeout: 300_000, hookTimeout: 300_000, fileParallelism: false };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'node',
          include: [
            '{protocol,client,cli,renderer,workers,scripts,app,faults,fuzz,conformance}/**/*.test.{ts,tsx}',
            'bench/{lib,load}/**/*.test.ts',
          ],
          exclude: [
            '**/node_modules/**',
            '**/dist/**',
            'workers/test/**',
            'workers/simulation/**',
            'renderer/test/**',
          ],
          ...patient,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './workers/wrangler.jsonc' },
            miniflare: { bindings },
          }),
        ],
        test: {
          name: 'workerd',
          include: ['workers/test/**/*.test.ts', 'bench/lists/*.test.ts'],
          setupFiles: ['./workers/test/setup.ts'],
          ...patient,
        },
      },
      {
        test: { name: 'simulation', include: ['workers/simulation/*.test.ts'], ...patient },
      },
      {
        test: { name: 'media', include: ['renderer/test/**/*.test.ts'], ...patient },
      },
      './bench/bill/vitest.config.ts',
      { test: { name: 'e2e', include: ['{e2e,conformance}/*.e2e.ts'], ...stack } },
      { test: { name: 'browser', include: ['e2e/*.browser.ts'], ...stack } },
    ],
  },
});
