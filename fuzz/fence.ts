// Responsible for calls that are right in form, by somebody who may make such calls, and which the state of the
// job or of the stores does not allow.
import { randomUUID } from 'node:crypto';
import type { ProblemCode } from '@export-jobs/protocol';
import { BODIES } from './bodies.ts';
import { ended, ofAttempt, otherEpoch, outputPath, owner, running, type Case } from './case.ts';
import { SOCKET_HEADERS, type Generator, type Scene } from './calls.ts';
import { OF_OUTPUTS, OF_UPLOADERS } from './fence-files.ts';
import { refusal } from './input.ts';
import { requestInput, type Draft } from './request.ts';
import { BYTES, NAMED, outputKey, type Job } from './world.ts';

/** A call of a job's renderer. */
function renderer(scene: Scene, job: Job, name: string, body: object) {
  return {
    what: name,
    path: `/api/jobs/${job.id}/do/${name}`,
    bearer: ofAttempt(scene, job),
    body,
  };
}

/** The reports of a renderer, as of some epoch. */
function reports(epoch: number): Record<string, object> {
  return {
    progress: BODIES.progress(epoch).value,
    complete: BODIES.complete(epoch, 'out/x').value,
    error: BODIES.error(epoch).value,
  };
}

function anyReport(scene: Scene, job: Job, epoch: number) {
  const [name, body] = scene.random.pick(Object.entries(reports(epoch)));
  return renderer(scene, job, name, body);
}

const claim = (scene: Scene, job: Job) =>
  renderer(scene, job, 'claim', BODIES.claim(randomUUID()).value);

const OF_RENDERERS: readonly Case[] = [
  (scene) => {
    const job = running(scene);
    const epoch = scene.random.pick([job.epoch + 1, 99, Number.MAX_SAFE_INTEGER]);
    return { ...anyReport(scene, job, epoch), codes: ['not_owner'] };
  },
  (scene) => {
    const job = running(scene);
    const bearer = ofAttempt(scene, job, scene.random.pick([0, 2, -1, 1.5, 1e9]));
    return { ...anyReport(scene, job, job.epoch), bearer, codes: ['stale_attempt'] };
  },
  (scene) => ({ ...claim(scene, running(scene)), codes: ['not_owner'] }),
  (scene) => ({ ...claim(scene, ended(scene)), codes: ['job_finished'] }),
  (scene) => ({ ...claim(scene, scene.world.acme.waiting), codes: ['stale_attempt'] }),
  (scene) => ({ ...anyReport(scene, scene.world.acme.pending, 1), codes: ['not_owner'] }),
  (scene) => ({
    // Its error ended the attempt: said once more, it would be answered as the first time.
    ...renderer(scene, scene.world.acme.waiting, 'progress', BODIES.progress(1).value),
    codes: ['stale_attempt', 'not_owner'],
  }),
  (scene) => {
    // Who says once more how an attempt ended is answered as the first time.
    const job = scene.random.pick([scene.world.acme.complete, scene.world.acme.cancelled]);
    return { ...anyReport(scene, job, 1), codes: ['job_finished'] };
  },
  (scene) => {
    const job = running(scene);
    const { world, random } = scene;
    const keys = [
      outputKey({ ...job, tenant: 'rival' }),
      outputKey(world.rival.complete),
      outputKey(world.acme.complete),
      `/${outputKey(job)}`,
      `${outputKey(job)}/../video.mp4`,
      `in/acme/${job.uploadId}`,
      '../video.mp4',
      'x'.repeat(1024),
      '\u0000',
      '\ud800',
      'out/',
    ];
    // A right key has the object look for the file, and that it does so is news of the job.
    const bare = { ...BODIES.complete(job.epoch, outputKey(job)).value, manifest: undefined };
    const body = random.chance(0.2) ? bare : BODIES.complete(job.epoch, random.pick(keys)).value;
    return { ...renderer(scene, job, 'complete', body), codes: ['output_rejected'] };
  },
  (scene) => {
    const job = running(scene);
    const path = `/api/jobs/${job.id}/source`;
    const bearer = ofAttempt(scene, job, 2);
    return { what: 'source', method: 'GET', path, bearer, codes: ['stale_attempt'] };
  },
  (scene) => {
    const job = ended(scene);
    const path = `/api/jobs/${job.id}/source`;
    return {
      what: 'source',
      method: 'GET',
      path,
      bearer: ofAttempt(scene, job),
      codes: ['job_finished'],
    };
  },
  (scene) => {
    const job = running(scene);
    const path = `/api/jobs/${job.id}/renderer?epoch=${scene.random.pick([2, 3, 999_999_999])}`;
    const headers = SOCKET_HEADERS;
    const bearer = ofAttempt(scene, job);
    return { what: 'socket', method: 'GET', path, bearer, headers, codes: ['not_owner'] };
  },
  (scene) => {
    const [job, bytes] = [running(scene), 'x'];
    const { value } = BODIES.complete(1, 'out/x');
    const manifest = JSON.stringify({ ...Reflect.get(value, 'manifest'), size: bytes.length });
    const path = outputPath(job, otherEpoch(scene));
    const headers = { 'x-export-manifest': manifest };
    const bearer = ofAttempt(scene, job);
    return {
      what: 'output',
      method: 'PUT',
      path,
      bearer,
      headers,
      body: bytes,
      codes: ['not_owner'],
    };
  },
];

/** Who may see a job, and not all that can be done with it. */
const OF_VIEWERS: readonly Case[] = [
  (scene) => {
    const { id } = running(scene);
    const [right, method, end] = scene.random.pick([
      ['watch', 'GET', ''],
      ['watch', 'GET', '/stream'],
      ['cancel', 'POST', '/cancel'],
    ] as const);
    const others = ['watch', 'download', 'cancel'].filter((one) => one !== right);
    const r = scene.random.pick([[], others]);
    const bearer = scene.world.forge.token('view', { j: id, r });
    const path = `/api/jobs/${id}${end}`;
    return { what: `no right to ${right}`, method, path, bearer, codes: ['forbidden'] };
  },
];

const OF_OWNERS: readonly Case[] = [
  (scene) => {
    const [filename, type] = scene.random.pick([
      ['page.html', undefined],
      ['film.svg', undefined],
      ['film.mp4', 'text/html'],
      ['film.mp4', 'IMAGE/SVG+XML; x'],
      ['film.mp4', 'video'],
      ['film.mp4', 'video/'],
      ['film.mp4', 'video/*'],
      ['film.mp4', '*/*'],
      ['film.mp4', 'x/video/mp4'],
      ['film.mp4', '\u0000'],
    ] as const);
    const body = { filename, size: 5, content_type: type };
    const codes: ProblemCode[] = ['upload_type_not_allowed'];
    return { what: `${type}`, path: '/api/uploads', bearer: owner(scene), body, codes };
  },
  (scene) => {
    const { complete, failed } = scene.world.acme;
    const path = `/api/jobs/${scene.random.pick([complete, failed]).id}/cancel`;
    return { what: 'cancel', path, bearer: owner(scene), codes: ['cancel_conflict'] };
  },
  (scene) => {
    const { complete, pending, waiting } = scene.world.acme;
    const job = scene.random.pick([complete, pending, waiting, running(scene)]);
    const path = `/api/jobs/${job.id}/retry`;
    return { what: 'retry', path, bearer: owner(scene), codes: ['retry_conflict'] };
  },
  (scene) => {
    const { rival } = scene.world;
    const upload = scene.random.pick([`upl_${'0'.repeat(26)}`, rival.pending.uploadId]);
    const body = BODIES.create(upload).value;
    return {
      what: 'create',
      path: '/api/jobs',
      bearer: owner(scene),
      body,
      codes: ['input_not_found'],
    };
  },
  (scene) => {
    const { value } = BODIES.create(scene.world.acme.pending.uploadId);
    const name = { what: 'create', path: '/api/jobs', bearer: owner(scene), headers: NAMED };
    return { ...name, body: value, codes: ['idempotency_conflict'] };
  },
  (scene) => {
    const tenant = scene.random.pick(['rival', 'default', 'Acme', 'acme.']);
    const body = { ...BODIES.key().value, tenant };
    return {
      what: `key of ${tenant}`,
      path: '/api/keys',
      bearer: owner(scene),
      body,
      codes: ['forbidden'],
    };
  },
  (scene) => {
    const body = { ...BODIES.key().value, plan: 'unlimited' };
    return {
      what: 'key of a plan',
      path: '/api/keys',
      bearer: owner(scene),
      body,
      codes: ['forbidden'],
    };
  },
  (scene) => {
    const key = scene.world.rival.keys[0]?.split('_')[1] ?? '';
    const path = `/api/keys/${key}`;
    return {
      what: 'key of rival',
      method: 'DELETE',
      path,
      bearer: owner(scene),
      codes: ['key_not_found'],
    };
  },
  ({ world }) => {
    const { uploadId: u, tenant: t } = world.acme.pending;
    const token = world.forge.token('upload', { u, t, n: 'n', s: BYTES.length });
    const path = `/api/uploads/${u}?token=${token}`;
    return {
      what: 'upload again',
      method: 'PUT',
      path,
      bearer: null,
      body: BYTES,
      codes: ['upload_exists'],
    };
  },
];

/** In development: by hand, on what was handed over. */
const BY_HAND: Case = (scene) => {
  const job = scene.random.pick([
    running(scene),
    scene.world.acme.pending,
    scene.world.acme.waiting,
  ]);
  return { ...anyReport(scene, job, 1), bearer: null, codes: ['not_owner'] };
};

export const notAllowed: Generator = (scene) => {
  const { random, world, address } = scene;
  const cases = [
    ...OF_RENDERERS,
    ...OF_OUTPUTS,
    ...OF_UPLOADERS,
    ...OF_VIEWERS,
    ...OF_OWNERS,
    ...(world.mode === 'development' ? [BY_HAND] : []),
  ];
  const {
    what,
    path,
    bearer,
    codes,
    method = 'POST',
    body = '',
    headers,
  } = random.pick(cases)(scene);
  const isJson = typeof body === 'object';
  const all = {
    host: `localhost:${world.port}`,
    'cf-connecting-ip': address,
    ...(bearer !== null && { authorization: `Bearer ${bearer}` }),
    ...(isJson && { 'content-type': 'application/json' }),
    ...headers,
  };
  const text = isJson ? JSON.stringify(body) : method === 'GET' ? null : body;
  const draft: Draft = { method, target: path, headers: Object.entries(all), body: text };
  return requestInput('not allowed', `${what}, ${codes.join(' or ')}`, draft, refusal(codes));
};
