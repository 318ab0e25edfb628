import type { ExportJob } from '@export-jobs/protocol';

/** An estimate that was shown, and when, by the server's clock. */
export interface Eta {
  attempt: number;
  at: number;
  ms: number;
}

/** How much a new estimate counts against what is left of the last one. */
const WEIGHT = 0.3;

/** What is left, smoothed: an encoder's own estimate jumps about. Null when there is none. */
export function nextEta(last: Eta | null, job: ExportJob | null): Eta | null {
  if (job?.status !== 'processing' || job.eta_ms === null) return null;
  const { attempt, updated_at: at, eta_ms } = job;
  if (last?.attempt !== attempt) return { attempt, at, ms: eta_ms };
  if (at <= last.at) return last;
  const left = Math.max(0, last.ms - (at - last.at));
  return { attempt, at, ms: left + WEIGHT * (eta_ms - left) };
}
