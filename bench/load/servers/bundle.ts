// Responsible for a Worker as one script, made as a deploy makes it.
import { build, stop } from 'esbuild';
import * as v from 'valibot';
import { unstable_readConfig as readConfig } from 'wrangler';
import type { Source } from './source.ts';

/** What runs on workerd: all contestants there have the date and flags of this project's Worker. */
export interface Script {
  readonly code: string;
  readonly compatibilityDate: string;
  readonly compatibilityFlags: string[];
}

const Config = v.object({
  compatibility_date: v.string(),
  compatibility_flags: v.array(v.string()),
});

/** Bundles a Worker of a checkout, given by the parts of its path. */
export async function bundle(source: Source, ...parts: string[]): Promise<Script> {
  const config: unknown = readConfig({ config: source.path('workers', 'wrangler.jsonc') });
  const { compatibility_date, compatibility_flags } = v.parse(Config, config);
  const { outputFiles } = await build({
    entryPoints: [source.path(...parts)],
    // node_modules links to the packages of one checkout, which need not be this one.
    alias: { '@export-jobs/protocol': source.path('protocol', 'src', 'index.ts') },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'browser',
    mainFields: ['browser', 'module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    // As wrangler does, though it is not for free.
    keepNames: true,
    logLevel: 'error',
  });
  const [output] = outputFiles;
  if (!output) throw new Error('nothing was bundled');
  return {
    code: output.text,
    compatibilityDate: compatibility_date,
    compatibilityFlags: compatibility_flags,
  };
}

/** Ends the bundler's process. */
export async function stopBundling(): Promise<void> {
  await stop();
}
