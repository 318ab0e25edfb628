import type { D1Migration } from 'cloudflare:test';
import type { Counts, Unit } from './prices.ts';
import type * as mainModule from './worker.ts';

declare global {
  namespace Cloudflare {
    interface Env {
      TEST_MIGRATIONS: D1Migration[];
      NAIVE_MIGRATIONS: D1Migration[];
      NAIVE_JOB: DurableObjectNamespace;
      NAIVE_DB: D1Database;
      INVOCATION_LOGS?: string;
    }
    interface GlobalProps {
      mainModule: typeof mainModule;
    }
  }
}

declare module 'vitest' {
  interface TaskMeta {
    bill?: { label: string; counts: Counts; causes: Record<Unit, Record<string, number>> };
  }
}
