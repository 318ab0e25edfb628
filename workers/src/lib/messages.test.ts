import { WebSocketMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { jobIn, lens } from '../job/fixtures.ts';
import type { JobState } from '../job/job.ts';
import { viewOf } from '../job/project.ts';
import { greetingOf, messageOf } from './messages.ts';

describe('messages', () => {
  it('greet with the state, and of an ended job with its end too (S9)', () => {
    const types = (state: JobState) => greetingOf(viewOf(jobIn(state), lens)).map((m) => m.type);
    expect(types('running')).toEqual(['status']);
    expect(types('complete')).toEqual(['status', 'complete']);
    expect(types('failed')).toEqual(['status', 'error']);
    expect(types('cancelled')).toEqual(['status']);
  });

  it('fit the wire and carry the contract’s fields', () => {
    const message = messageOf(viewOf(jobIn('complete'), lens), 'complete');
    expect(v.parse(WebSocketMessage, message)).toEqual(message);
    expect(message).toMatchObject({
      type: 'complete',
      job_id: 'job_1',
      output_url: lens.link('out/acme/job_1/1/1/video.mp4'),
    });
  });
});
