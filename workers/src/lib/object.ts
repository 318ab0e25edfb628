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
