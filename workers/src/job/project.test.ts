import { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { jobByHand, jobIn, lens } from './fixtures.ts';
import type { JobState } from './job.ts';
import { outputFilename, viewOf } from './project.ts';

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

describe('the output’s name', () => {
  it('is the input’s with the new extension', () => {
    expect(outputFilename(jobIn('complete'))).toBe('clip-export.mp4');
    expect(outputFilename(jobByHand())).toBe('job_1-export.mp4');
  });
});
