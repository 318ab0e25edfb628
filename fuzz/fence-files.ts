// Responsible for calls for files by parts that the state of the job or of the store does not allow.
import type { ProblemCode } from '@export-jobs/protocol';
import { BODIES } from './bodies.ts';
import { ended, ofAttempt, otherEpoch, outputPath, running, type Case } from './case.ts';
import { payloadOf } from './forge.ts';

/** Calls for an output by parts. */
export const OF_OUTPUTS: readonly Case[] = [
  (scene) => {
    const job = running(scene);
    const path = outputPath(job, otherEpoch(scene));
    const bearer = ofAttempt(scene, job);
    return { what: 'output', path, bearer, body: BEGIN, codes: ['not_owner'] };
  },
  (scene) => {
    const job = running(scene);
    const path = outputPath(job, job.epoch);
    const bearer = ofAttempt(scene, job, scene.random.pick([0, 2, -1, 1.5]));
    return { what: 'output', path, bearer, body: BEGIN, codes: ['stale_attempt'] };
  },
  (scene) => {
    const job = ended(scene);
    const path = outputPath(job, job.epoch);
    const bearer = ofAttempt(scene, job);
    return { what: 'output', path, bearer, body: BEGIN, codes: ['job_finished'] };
  },
  (scene) => {
    // No part of it was sent.
    const job = running(scene);
    const path = `${outputPath(job, job.epoch)}/complete`;
    const bearer = ofAttempt(scene, job);
    const body = BODIES.completeOutput(job.output).value;
    return { what: 'output', path, bearer, body, codes: ['upload_mismatch'] };
  },
];
const BEGIN = BODIES.beginOutput().value;

/** Calls for an upload by parts. */
export const OF_UPLOADERS: readonly Case[] = [
  ({ world }) => {
    const { id, token: bearer } = world.acme.begun;
    const path = `/api/uploads/${id}/complete`;
    const body = BODIES.completeUpload().value;
    return { what: 'upload', path, bearer, body, codes: ['upload_mismatch'] };
  },
  ({ world }) => {
    const { id, token: bearer } = world.acme.givenUp;
    const path = `/api/uploads/${id}/complete`;
    const body = BODIES.completeUpload().value;
    return { what: 'given up', path, bearer, body, codes: ['upload_not_found'] };
  },
  ({ world, random }) => {
    // In one piece.
    const { begun } = world.acme;
    const bearer = world.forge.token('upload', { ...payloadOf(begun.token), m: undefined });
    const path = `/api/uploads/${begun.id}`;
    const [method, end, body] = random.pick([
      ['DELETE', '', ''],
      ['POST', '/parts', BODIES.parts().value],
      ['POST', '/complete', BODIES.completeUpload().value],
    ] as const);
    return { what: 'parts', method, path: path + end, bearer, body, codes: ['upload_not_found'] };
  },
  ({ world, random }) => {
    const { begun, givenUp } = world.acme;
    const { m } = payloadOf(givenUp.token);
    const k = `in/acme/${random.pick([begun, givenUp]).id}`;
    const token = world.forge.token('part', { k, m, n: 1, s: 5 });
    const path = `/api/parts/1?token=${token}`;
    const codes: ProblemCode[] = ['upload_not_found'];
    return { what: 'part', method: 'PUT', path, bearer: null, body: 'bytes', codes };
  },
];
