import path from 'node:path';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';
import { TEST_BINDINGS } from './workers/test/bindings.ts';

const migrations = await readD1Migrations(path.join(import.meta.dirname, 'workers', 'migrations'));

const bindings = { ...TEST_BINDINGS, TEST_MIGRATIONS: migrations };

/** Tests against the running stack: each file has one of its own, so one file at a time. */
const stack = { testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false };

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
          testTimeout: 30_000,
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
          testTimeout: 30_000,
        },
      },
      {
        test: { name: 'simulation', include: ['workers/simulation/*.test.ts'] },
      },
      {
        test: { name: 'media', include: ['renderer/test/**/*.test.ts'], testTimeout: 60_000 },
      },
      './bench/bill/vitest.config.ts',
      { test: { name: 'e2e', include: ['{e2e,conformance}/*.e2e.ts'], ...stack } },
      { test: { name: 'browser', include: ['e2e/*.browser.ts'], ...stack } },
    ],
  },
});
