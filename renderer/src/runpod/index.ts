// A worker for RunPod's serverless queues. Everything that a user of it needs is named here.
export type { OnUndelivered } from './deliver.ts';
export { FitnessFailed, type FitnessChecks } from './fitness.ts';
export { JobAborted, type Handler, type Job, type JobContext, type JobResult } from './handler.ts';
export { log, type Log } from './log.ts';
export { runOnce } from './run-once.ts';
export { serve, type ServeOptions } from './serve.ts';
export { shutdownSignal } from './shutdown.ts';
