import { describe, expect, it } from 'vitest';
import { closeBack } from '../src/durable-objects/sockets.ts';
import {
  FakeRenderer,
  call,
  createJob,
  getJob,
  playProvider,
  post,
  problemOf,
  until,
} from './harness.ts';
import { API_KEY, ask, newKey } from './production.ts';

// What the fuzz has found, one by one.

playProvider();

const JSON_TYPE = { 'content-type': 'application/json' };

describe('a body', () => {
  it.each([{}, { 'content-length': '9' }])(
    'that ends half-way is its sender’s fault, announced as %j',
    async (announced) => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('{"a":'));
          controller.error(new Error('the connection is gone'));
        },
      });
      const headers = { ...JSON_TYPE, ...announced };
      const response = await ask('/api/uploads', { method: 'POST', headers, body }, API_KEY);
      expect(response.status).toBe(400);
      expect(await problemOf(response)).toMatchObject({ code: 'invalid_json' });
    },
  );

  it('that is a list is no object without fields', async () => {
    const { id } = await createJob();
    const response = await post(`/api/jobs/${id}/tokens`, []);
    expect(await problemOf(response)).toMatchObject({ code: 'invalid_body', status: 422 });
  });
});

describe('a call', () => {
  it.each(['claim/', 'claim/x', 'xclaim', 'claimx', 'init/', 'errors'])(
    'has its name alone at the end of its address: %s is none',
    async (name) => {
      const { id } = await createJob();
      const response = await post(`/api/jobs/${id}/do/${name}`, {});
      expect(await problemOf(response)).toMatchObject({ code: 'not_found', status: 404 });
    },
  );

  it('that names another output, or no manifest, changes nothing', async () => {
    const { id } = await createJob();
    const renderer = await FakeRenderer.claims(id);
    const before = await getJob(id);
    for (const more of [{ output_video_key: 'out/x/video.mp4' }, { manifest: undefined }]) {
      const response = await renderer.complete('bytes', more);
      expect(await problemOf(response)).toMatchObject({ code: 'output_rejected' });
    }
    const { cost: _before, ...was } = before;
    const { cost: _after, ...is } = await getJob(id);
    expect(is).toEqual(was);
  });
});

describe('a closing handshake', () => {
  it.each([
    [1004, 'x', 1000],
    [1006, 'x', 1000],
    [999, 'x', 1000],
    [0, 'x', 1000],
    [5000, 'x', 1000],
    [65_535, 'x', 1000],
    [1001, '\ufffd'.repeat(123), 1001],
    [4999, '', 4999],
  ])('that was begun with %i is finished', async (code, reason, answered) => {
    const [client, server] = Object.values(new WebSocketPair());
    if (!client || !server) throw new Error('no sockets');
    const closed: number[] = [];
    client.addEventListener('close', ({ code }) => void closed.push(code));
    client.accept();
    server.accept();
    closeBack(server, code, reason);
    await until(() => closed.length > 0);
    expect(closed).toEqual([answered]);
  });
});

describe('in development', () => {
  it('a job that was handed over is not there for another tenant, however it looks', async () => {
    const { id } = await createJob();
    const { secret } = await newKey({ tenant: 'rival' });
    const headers = { authorization: `Bearer ${secret}` };
    const socket = { ...headers, upgrade: 'websocket' };
    for (const [path, more] of [
      [`/api/jobs/${id}`, headers],
      [`/api/jobs/${id}?since=0`, headers],
      [`/api/jobs/${id}/stream`, headers],
      [`/api/jobs/${id}/ws`, socket],
    ] as const) {
      const response = await call(path, { headers: more });
      expect(await problemOf(response)).toMatchObject({ code: 'job_not_found' });
    }
  });
});
