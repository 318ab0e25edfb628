import type { ExportFeed } from '../durable-objects/ExportFeed.ts';
import type { ExportJobState } from '../durable-objects/ExportJobState.ts';
import type { Env } from './env.ts';
import { NotConfigured } from './env.ts';

/** The object of a job. @throws NotConfigured when the binding is missing from the configuration. */
export function objectOf(env: Env, jobId: string): DurableObjectStub<ExportJobState> {
  // The types promise a binding; a configuration of one's own may still lack it.
  const namespace: DurableObjectNamespace<ExportJobState> | undefined = env.EXPORT_JOB;
  if (!namespace) {
    throw new NotConfigured(
      'Durable Object not found: the configuration needs the binding EXPORT_JOB of class ExportJobState and a migration that names it in new_sqlite_classes.',
    );
  }
  return namespace.getByName(jobId);
}

/** A feed has so many objects at most: the first, which the jobs tell, and further ones for more viewers. */
export const FEED_SHARDS = 32;

/** An object of an owner's feed, the first unless it says which; undefined where there are no feeds. */
export function feedObjectOf(
  env: Env,
  tenant: string,
  shard = 0,
): DurableObjectStub<ExportFeed> | undefined {
  // No name of a tenant has a colon in it.
  return env.EXPORT_FEED?.getByName(shard === 0 ? tenant : `${tenant}:${shard}`);
}
