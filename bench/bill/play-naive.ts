// Responsible for the life of one job of the naive sketch: the same film, renderer and viewers as in
// `play.ts`, as far as the sketch knows of them. It reports each second, watched or not.
import { PING } from '@export-jobs/protocol';
import { env, exports } from 'cloudflare:workers';
import * as v from 'valibot';
import { provider } from '../../workers/test/harness.ts';
import { Platform, eventually, quiet, startOver } from './platform.ts';
import type { Watcher } from './platform.ts';
import type { Profile } from './profiles.ts';
import { ASSUMED_MS, tally } from './tally.ts';
import { NAIVE_HOST } from './worker.ts';

const REPORT_MS = 1000;
const FILM = 'the film';

/** Plays a job to its end; what it used is then in the tally. */
export async function playNaive(profile: Profile): Promise<void> {
  startOver(false);
  const attempts = profile.failures + 1;
  provider.answers = Array.from({ length: attempts }, () => () => Response.json({ id: 'remote' }));
  const input = v.parse(v.object({ upload_id: v.string() }), await ask('POST', 'uploads'));
  await ask('PUT', `uploads/${input.upload_id}`, 'the source');
  const made = await ask('POST', 'jobs', JSON.stringify({ input }));
  const { id } = v.parse(v.object({ job: v.object({ id: v.string() }) }), made).job;
  const viewers = await Promise.all(Array.from({ length: profile.viewers }, () => watch(id)));
  const platform = new Platform(env.NAIVE_JOB.getByName(id), viewers);
  const say = (name: string, body: object) =>
    ask('POST', `jobs/${id}/do/${name}`, JSON.stringify(body));
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    await platform.pass(profile.queueMs);
    await fetchFile(`uploads/${input.upload_id}`);
    const isLast = attempt === attempts;
    const ms = isLast ? profile.renderMs : profile.renderMs / 2;
    for (let at = 0; at < ms; at += REPORT_MS) {
      await say('progress', { progress: (99 * at) / ms, message: 'rendering' });
      await platform.pass(REPORT_MS);
      if (isLast && at === ms / 2) await platform.evict();
    }
    if (!isLast) await say('error', { error: 'it broke', should_retry: true });
  }
  const key = `${id}.mp4`;
  await ask('PUT', `videos/upload/${key}`, FILM);
  await say('complete', { output_video_key: key });
  await quiet();
  await platform.closeAll();
  if ((await fetchFile(`videos/download/${key}`)) !== FILM) throw new Error('not the file');
  await platform.pass(3 * 60_000);
  await platform.rest();
  // The Worker makes the first of these calls.
  tally.add('objectMs', 'waiting for RunPod', profile.failures * ASSUMED_MS.provider);
  tally.settle(Date.now());
}

function request(path: string, init: RequestInit): Promise<Response> {
  return exports.default.fetch(new Request(`http://${NAIVE_HOST}/api/${path}`, init));
}

async function ask(method: string, path: string, body?: string): Promise<unknown> {
  const response = await request(path, { method, ...(body !== undefined && { body }) });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

async function fetchFile(path: string): Promise<string> {
  const response = await request(path, {});
  return new TextDecoder().decode(await response.arrayBuffer());
}

async function watch(id: string): Promise<Watcher> {
  const { webSocket } = await request(`jobs/${id}/ws`, { headers: { upgrade: 'websocket' } });
  if (!webSocket) throw new Error('no socket');
  let pongs = 0;
  webSocket.addEventListener('message', ({ data }) => {
    if (String(data).includes('pong')) pongs += 1;
  });
  webSocket.accept();
  return {
    async ping() {
      const before = pongs;
      webSocket.send(PING);
      await eventually(() => pongs > before);
    },
    leave: () => webSocket.close(1000, 'seen'),
  };
}
