// Responsible for what a call is that is right in form and not allowed, and for who makes it.
import type { ProblemCode } from '@export-jobs/protocol';
import type { Scene } from './calls.ts';
import { attemptToken, type Job } from './world.ts';

/** A call, and the problems that are right answers to it. */
export type Case = (scene: Scene) => {
  readonly what: string;
  readonly path: string;
  readonly bearer: string | null;
  readonly codes: ProblemCode[];
  readonly method?: string;
  readonly body?: object | string;
  readonly headers?: Readonly<Record<string, string>>;
};

export const running = ({ world, lane }: Scene): Job =>
  world.acme.running[lane] ?? world.acme.pending;
export const ended = ({ world, random }: Scene): Job =>
  random.pick([world.acme.complete, world.acme.failed, world.acme.cancelled]);
export const owner = ({ world, random }: Scene) => random.pick(world.acme.keys);
export const ofAttempt = ({ world }: Scene, job: Job, attempt = job.attempt) =>
  attemptToken(world.forge, { ...job, attempt });
export const outputPath = ({ id }: Job, epoch: string | number) =>
  `/api/jobs/${id}/output/${epoch}`;
export const otherEpoch = ({ random }: Scene) => random.pick(['2', '99', '9'.repeat(15)]);
