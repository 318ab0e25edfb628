// Jobs that a test drives to their end by a renderer's calls, without a renderer.
import { CreateReply, UploadReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Stack } from '../../scripts/stack.ts';
import { changesOf, type Change } from './followed.ts';
import { HandRenderer } from './hand-renderer.ts';
import { post } from './http.ts';

/** A job with a first attempt that fails and a second one that ends. It waits for its first report. */
export interface Story {
  readonly id: string;
  /** Lets a viewer in where credentials are asked for. */
  readonly token?: string;
  begins(): Promise<void>;
  fails(): Promise<void>;
  ends(): Promise<void>;
  changes(): Promise<Change[]>;
}

/** In development: a job made by hand, which becomes complete. */
export async function storyByHand(stack: Stack): Promise<Story> {
  const id = `by-hand-${crypto.randomUUID()}`;
  const say = (name: string, body: object) =>
    post(`${stack.url}/api/jobs/${id}/do/${name}`, body, v.unknown());
  const report = (progress: number) => say('progress', { progress, message: 'Processing...' });
  await say('init', { id, status: 'pending', progress: 0 });
  return {
    id,
    async begins() {
      await report(10);
      await report(40);
    },
    fails: async () => void (await say('error', { error: 'it broke' })),
    async ends() {
      await report(20);
      await report(80);
      await say('complete', { output_video_key: 'film.mp4' });
    },
    changes: () => changesOf(stack.url, id),
  };
}

/** Where credentials are asked for: a dispatched job, which ends as an error. */
export async function storyByTicket(stack: Stack, apiKey: string): Promise<Story> {
  const film = 'nobody renders it';
  const announced = { filename: 'film.mp4', size: film.length };
  const upload = await post(`${stack.url}/api/uploads`, announced, UploadReply, apiKey);
  await fetch(new URL(upload.url, stack.url), { method: 'PUT', body: film });
  const input = { upload_id: upload.upload_id };
  const { job, viewer_token } = await post(`${stack.url}/api/jobs`, { input }, CreateReply, apiKey);
  let renderer: HandRenderer;
  return {
    id: job.id,
    token: viewer_token,
    async begins() {
      renderer = await HandRenderer.takes(stack);
      await renderer.report(10);
      await renderer.report(40);
    },
    fails: () => renderer.fail({ error: 'it broke', code: 'encoder_failed' }),
    async ends() {
      renderer = await HandRenderer.takes(stack);
      await renderer.report(20);
      await renderer.report(80);
      await renderer.fail({ error: 'it broke for good', should_retry: false });
    },
    changes: () => changesOf(stack.url, job.id, apiKey),
  };
}
