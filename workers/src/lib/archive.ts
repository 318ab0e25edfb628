import * as v from 'valibot';
import { LogEntry, unfold } from '../job/log.ts';
import type { LogLine } from '../job/log.ts';
import { reachable } from './d1.ts';

const Log = v.pipe(v.string(), v.parseJson(), v.array(LogEntry));

/** Every change of a job that has ended, in order; null when there is no log. A null tenant fits any. */
export async function archivedEvents(
  db: D1Database,
  id: string,
  tenant: string | null,
): Promise<LogLine[] | null> {
  const sql = `SELECT log FROM export_jobs WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)
    AND log IS NOT NULL`;
  const row = await reachable(db.prepare(sql).bind(id, tenant).first());
  return row ? unfold(v.parse(v.object({ log: Log }), row).log) : null;
}
