import type { ExportJob } from '@export-jobs/protocol';

/** As the server lists them. */
export const newestFirst = (a: ExportJob, b: ExportJob): number =>
  b.created_at - a.created_at || (a.id < b.id ? 1 : -1);
