import type { ExportJob } from '@export-jobs/protocol';
import { useEffect, useState } from 'react';
import { leftAt, nextEta, type Eta, type TimeLeft } from './eta.ts';

/** After so long without a report the time left is counted down, ms. */
const TICK_MS = 1000;

/** The time left of a job that is being processed: smoothed, and counted down between its reports. */
export function useTimeLeft(job: ExportJob | null): TimeLeft | null {
  const [now, setNow] = useState(Date.now);
  const [eta, setEta] = useState<Eta | null>(() => nextEta(null, job, now));
  // Each job that is shown counts once, however often React renders it.
  const next = nextEta(eta, job, Date.now());
  if (next !== eta) setEta(next);
  useEffect(() => {
    if (next === null) return undefined;
    const timer = setTimeout(() => setNow(Date.now()), TICK_MS);
    return () => clearTimeout(timer);
  }, [next, now]);
  return leftAt(next, now);
}
