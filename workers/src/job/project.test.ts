import { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { jobByHand, jobIn, lens, owner, report, run } from './fixtures.ts';
import type { JobState } from './job.ts';
import { asSeenSince, outputFilename, viewOf } from './project.ts';

const SHOWN: Record<JobState, string> = {
  dispatching: 'pending',
  dispatched: 'pending',
  running: 'processing',
  retry_wait: 'pending',
  adopting: 'processing',
  complete: 'complete',
  failed: 'error',
  cancelled: 'cancelled',
};
const STATES = [
  'dispatching',
  'dispatched',
  'running',
  'retry_wait',
  'adopting',
  'complete',
  'failed',
  'cancelled',
] as const;

describe('the view of a job', () => {
  it.each(STATES)('of one that is %s fits the wire and shows the contract’s word', (state) => {
    const view = viewOf(jobIn(state), lens);
    expect(v.parse(ExportJob, view)).toEqual(view);
    expect(view.status).toBe(SHOWN[state]);
  });

  it('has a file exactly when complete and a reason exactly when failed', () => {
    const complete = viewOf(jobIn('complete'), lens);
    expect(complete).toMatchObject({
      output_url: 'https://example.com/out/acme/job_1/1/1/video.mp4',
    });
    for (const state of STATES) {
      const view = viewOf(jobIn(state), lens);
      expect('output_url' in view).toBe(state === 'complete');
      expect('error' in view).toBe(state === 'failed');
    }
  });

  it('counts retries from the attempts (I10, S12)', () => {
    expect(viewOf(jobIn('retry_wait'), lens)).toMatchObject({
      attempt: 2,
      retry_count: 1,
      max_attempts: 3,
    });
  });
});

describe('the time left in a view', () => {
  const said = { ...report(90, 1), etaMs: 10_000 };

  it('is both as its renderer says and, of nine in ten, later', () => {
    const view = viewOf(run(jobIn('running'), [said], 60_000), lens);
    expect(view).toMatchObject({ eta_ms: 10_000 });
    expect(view.status === 'processing' && view.eta_p90_ms).toBeGreaterThan(10_000);
  });

  it('goes down while the file is looked at', () => {
    const verifying = { type: 'verifying', from: owner, bySocket: true } as const;
    const job = run(jobIn('running'), [said, verifying], 60_000);
    expect(viewOf(job, lens)).toMatchObject({ stage: 'verifying', eta_ms: 9000 });
  });

  it('is not known while the output of a lost renderer is looked for', () => {
    expect(viewOf(jobIn('adopting'), lens)).toMatchObject({ eta_ms: null, eta_p90_ms: null });
  });
});

describe('the percent for a bar', () => {
  it('is no less for a viewer that saw more of an attempt than the object remembers (I2)', () => {
    const job = { ...jobIn('running'), progressBefore: 50 };
    const view = viewOf(job, lens);
    expect(view).toMatchObject({ progress: 0, overall_progress: 50 });
    const seen = asSeenSince(view, job, job.seq + 400);
    expect(seen).toMatchObject({ progress: 40, overall_progress: 70 });
  });

  it('is 100 exactly when complete, though a person at a keyboard says so before', () => {
    const byHand = run(jobByHand(), [report(100, 1, null)], 1000);
    expect(viewOf(byHand, lens)).toMatchObject({ progress: 100, overall_progress: 99.9 });
    const shown = STATES.map((state) => viewOf(jobIn(state), lens));
    expect(shown.filter(({ overall_progress }) => overall_progress === 100)).toHaveLength(1);
    expect(viewOf(jobIn('complete'), lens).overall_progress).toBe(100);
  });
});

describe('the output’s name', () => {
  it('is the input’s with the new extension', () => {
    expect(outputFilename(jobIn('complete'))).toBe('clip-export.mp4');
    expect(outputFilename(jobByHand())).toBe('job_1-export.mp4');
  });
});
