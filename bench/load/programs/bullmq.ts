// BullMQ on Redis: a report is the progress of a job, and what QueueEvents says of it goes to the viewers.
// The first argument is the port of Redis.
import { Queue, QueueEvents, type Job } from 'bullmq';
import * as v from 'valibot';
import { serve } from './broadcast-server.ts';

const connection = { host: '127.0.0.1', port: Number(process.argv[2]) };
const queue = new Queue('exports', { connection });
const events = new QueueEvents('exports', { connection });
const jobs = new Map<string, Promise<Job>>();

await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);

serve((tell) => {
  events.on('progress', ({ jobId, data }) => {
    tell(jobId, v.parse(v.looseObject({}), data));
  });
  return async (id, message) => {
    const job = jobs.get(id) ?? queue.add('export', {}, { jobId: id });
    jobs.set(id, job);
    await (await job).updateProgress(message);
  };
});
