// Responsible for contestants whose jobs are the contract's alone: an id, and calls that anyone may make.
import * as v from 'valibot';
import { call } from '../client/call.ts';
import { HttpLane } from '../client/http-lane.ts';
import { byPost, progressOf, Reports } from './reports.ts';
import type { Job } from './server.ts';

/** The contract's call that ends a job for good. */
export async function closing(
  lane: { port: number; path: string; headers?: readonly string[] },
  fence: object = {},
): Promise<void> {
  const one = new HttpLane(lane.port, lane.path, lane.headers);
  try {
    await one.post(JSON.stringify({ ...fence, error: 'enough', should_retry: false }));
  } finally {
    one.close();
  }
}

/** A job at `<root>/<id>`, with its first report made: before it, some servers do not know of the job. */
export async function contractJob(
  port: number,
  root: string,
  id: string = crypto.randomUUID(),
): Promise<Job> {
  const base = `${root}/${id}`;
  const path = `${base}/do/progress`;
  const first = { progress: 0, message: 'first' };
  await call(`http://127.0.0.1:${port}${path}`, v.unknown(), { body: first });
  const reports = new Reports((seq, message) =>
    JSON.stringify({ progress: progressOf(seq), message }),
  );
  return {
    id,
    door: { port, path: `${base}/ws`, protocols: [] },
    reporter: async (window) => byPost(reports, window, { port, path }),
    end: () => closing({ port, path: `${base}/do/error` }),
  };
}
