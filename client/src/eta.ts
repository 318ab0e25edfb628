import type { ExportJob } from '@export-jobs/protocol';

/** Time left, ms: as likely less as more, and with nine chances in ten less. */
export interface TimeLeft {
  ms: number;
  p90Ms: number;
}

/** An estimate of a job's attempt. */
export interface Eta extends TimeLeft {
  id: string;
  attempt: number;
  /** When it was made, by the server's clock. */
  at: number;
  /** When it was heard, by the clock here: the two may be minutes apart. */
  heardAt: number;
}

/** How much a new estimate counts against what is left of the last one. */
const WEIGHT = 0.3;

/** The estimate after hearing of a job at `now`, smoothed: an encoder's own jumps about. Null when there is none. */
export function nextEta(last: Eta | null, job: ExportJob | null, now: number): Eta | null {
  if (job?.status !== 'processing' || job.eta_ms === null) return null;
  const { id, attempt, updated_at: at, eta_ms } = job;
  // A server before version 4 says only the one.
  const p90 = Math.max(eta_ms, job.eta_p90_ms ?? eta_ms);
  const heard = { id, attempt, at, heardAt: now };
  if (last?.id !== id || last.attempt !== attempt) return { ...heard, ms: eta_ms, p90Ms: p90 };
  if (at <= last.at) return last;
  const towards = (next: number, before: number) => {
    const left = Math.max(0, before - (at - last.at));
    return left + WEIGHT * (next - left);
  };
  return { ...heard, ms: towards(eta_ms, last.ms), p90Ms: towards(p90, last.p90Ms) };
}

/** What is left of an estimate at `now`, by the clock here. */
export function leftAt(eta: Eta | null, now: number): TimeLeft | null {
  if (eta === null) return null;
  const gone = Math.max(0, now - eta.heardAt);
  return { ms: Math.max(0, eta.ms - gone), p90Ms: Math.max(0, eta.p90Ms - gone) };
}
