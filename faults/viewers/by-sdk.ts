// Responsible for viewers that use the SDK, as an app does.
import type { ExportJob } from '@export-jobs/protocol';
import {
  createClient,
  type ExportWatch,
  type Timing,
  type Way as SdkWay,
} from '../../client/src/index.ts';
import type { Visit, Way } from './way.ts';

/** Shorter than the SDK's own times, so that a run has many tries in it. */
const SHORT: Partial<Timing> = {
  ping: 2000,
  pong: 1500,
  connect: 4000,
  request: 8000,
  backoffMax: 4000,
  better: 4000,
  wait: 5,
};

/** One watch of the SDK, which dials as often as it takes; another one goes on from what was shown. */
export function bySdk(isPatient: boolean, note: (via: SdkWay) => void): Way {
  let shown: ExportJob | undefined;
  let last: SdkWay | null = null;
  return async (visit) => {
    const { url, token, jobId, signal } = visit;
    const timing = isPatient ? {} : SHORT;
    const client = createClient({ baseUrl: url, getToken: () => token, timing });
    const watch = client.watchExport(jobId, { signal, initial: shown });
    const unsubscribe = watch.subscribe(() => {
      const { job, via } = watch.getSnapshot();
      if (via && via !== last) note(via);
      last = via;
      if (!job || job === shown) return;
      shown = job;
      visit.hear({ job });
    });
    await endOf(watch, visit);
    unsubscribe();
  };
}

/** Until the job has ended or the viewer goes away. */
async function endOf(watch: ExportWatch, { signal, hear, refused }: Visit): Promise<void> {
  try {
    hear({ job: await watch.result() });
  } catch (error) {
    if (!signal.aborted) refused(String(error));
  }
}
