import type { ExportJob } from '@export-jobs/protocol';

/** An estimate that was shown, and when, by the server's clock. */
export interface Eta {
  attempt: number;
  at: number;
  /** Time left, ms: as likely less as more, and with nine chances in ten less. */
  ms: number;
  p90Ms: number;
}

/** How much a new estimate counts against what is left of the last one. */
const WEIGHT = 0.3;

/** What is left, smoothed: an encoder's own estimate jumps about. Null when there is none. */
export function nextEta(last: Eta | null, job: ExportJob | null): Eta | null {
  if (job?.status !== 'processing' || job.eta_ms === null) return null;
  const { attempt, updated_at: at, eta_ms } = job;
  // A server before version 4 says only the one.
  const p90 = Math.max(eta_ms, job.eta_p90_ms ?? eta_ms);
  if (last?.attempt !== attempt) return { attempt, at, ms: eta_ms, p90Ms: p90 };
  if (at <= last.at) return last;
  const towards = (next: number, before: number) => {
    const left = Math.max(0, before - (at - last.at));
    return left + WEIGHT * (next - left);
  };
  return { attempt, at, ms: towards(eta_ms, last.ms), p90Ms: towards(p90, last.p90Ms) };
}
