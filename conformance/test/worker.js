/* oxlint-disable typescript/no-unsafe-argument, typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return -- plain JavaScript on purpose: it stands for a worker in another language */
// A small worker in plain JavaScript that shares nothing with this project's own: it renders nothing,
// but says what a renderer says as long as nothing goes wrong. `SINS` names what it does wrong, for the tests of the suite.
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const { env } = process;
const sins = new Set((env.SINS ?? '').split(','));
const held = new Set();
const jobs = new Map();

const fill = (template, id) =>
  new URL(template.replaceAll('$RUNPOD_POD_ID', env.RUNPOD_POD_ID).replaceAll('$ID', id));
const take = fill(env.RUNPOD_WEBHOOK_GET_JOB, env.RUNPOD_POD_ID);
const stops = new URL(take.href.replace('/job-take/', '/job-stop/'));
take.searchParams.set('job_in_progress', '0');

process.on('SIGTERM', () => process.exit(0));
void ping();
void listenForStops();
for (;;) {
  const response = await runpod(take);
  if (response.status === 200) await work(await response.json());
}

async function runpod(url, init = {}, key = env.RUNPOD_AI_API_KEY) {
  return await fetch(url, { ...init, headers: { ...init.headers, authorization: key } });
}

async function ping() {
  for (;;) {
    const url = fill(env.RUNPOD_WEBHOOK_PING, '');
    if (sins.has('builds an address')) url.search = '?gpu=local';
    if (held.size > 0) url.searchParams.set('job_id', [...held].join(','));
    const key = env.RUNPOD_AI_API_KEY;
    await runpod(url, {}, sins.has('says Bearer') ? `Bearer ${key}` : key);
    await sleep(Number(env.RUNPOD_PING_INTERVAL));
  }
}

async function listenForStops() {
  for (;;) {
    const response = await runpod(stops);
    if (response.status !== 200) continue;
    for (const id of (await response.json()).jobsToStop) jobs.get(id)?.abort();
  }
}

async function work({ id, input }) {
  const stop = new AbortController();
  jobs.set(id, stop);
  held.add(id);
  const isDone = await render(id, input, stop.signal);
  if (isDone || sins.has('sends a result after a stop')) await sendResult(id);
  held.delete(id);
}

async function sendResult(id) {
  const url = fill(env.RUNPOD_WEBHOOK_POST_OUTPUT, id);
  url.searchParams.set('isStream', 'false');
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    charset: 'utf-8',
    'x-request-id': id,
  };
  await runpod(url, { method: 'POST', headers, body: JSON.stringify({ output: {} }) });
}

/** Each byte of the source takes a millisecond. @returns whether it was not stopped. */
async function render(id, { callback_url, token }, signal) {
  const authorization = `Bearer ${token}`;
  const call = async (name, body) => {
    const headers = { authorization, 'content-type': 'application/json' };
    if (sins.has('shows the key')) headers['x-worker-key'] = env.RUNPOD_AI_API_KEY;
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    return await (await fetch(`${callback_url}/${name}`, init)).json();
  };
  if (sins.has('reports before it claims')) await call('progress', { progress: 0, seq: 1 });
  const claim = { nonce: randomUUID(), provider_job_id: id, worker_id: env.RUNPOD_POD_ID };
  const { epoch, source, output, channel } = await call('claim', claim);
  const fenced = new AbortController();
  const fence = () => sins.has('does not stop') || fenced.abort();
  const isOffered = channel && !sins.has('stays with POST');
  const onSocket = isOffered ? await openSocket(channel.url, token, fence) : undefined;
  const say = async (name, body) => {
    const { stop } = await (onSocket ?? call)(name, { epoch, seq: (seq += 1), ...body });
    if (stop) fence();
  };
  const headers = { authorization, 'if-match': `"${source.etag}"` };
  const film = Buffer.from(await (await fetch(source.url, { headers })).arrayBuffer());

  const encoder = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']);
  let seq = 0;
  for (let done = 0; done < film.length && !signal.aborted && !fenced.signal.aborted; done += 100) {
    const progress = Math.min(99, (100 * done) / film.length);
    await say('progress', { progress, stage: 'rendering' });
    await sleep(100);
  }
  if (!sins.has('leaves its encoder')) encoder.kill('SIGKILL');
  if (signal.aborted) return false;
  if (fenced.signal.aborted) return true;

  const sha256 = createHash('sha256').update(film).digest('hex');
  const made = { width: 160, height: 90, duration_ms: 500, frames: 12 };
  const manifest = { size: film.length, sha256, ...made };
  const about = { authorization, 'x-export-manifest': JSON.stringify(manifest) };
  await fetch(output.url, { method: 'PUT', headers: about, body: film });
  await say('complete', { output_video_key: output.key, manifest });
  if (sins.has('reports after complete')) await say('progress', { progress: 100 });
  return true;
}

/** @returns what makes calls on a socket, with the answers of the same POST; undefined when there is none. */
async function openSocket(url, token, onStop) {
  const credential = sins.has('dials as nobody') ? [] : [`bearer.${token}`];
  const socket = new WebSocket(url, ['render.v1', ...credential]);
  const waiting = new Map();
  socket.addEventListener('message', ({ data }) => {
    const { type, seq, problem, ...answer } = JSON.parse(data);
    if (type === 'stop') onStop();
    waiting.get(seq)?.(problem ?? answer);
  });
  const isOpen = await new Promise((resolve) => {
    socket.addEventListener('open', () => resolve(true));
    socket.addEventListener('close', () => resolve(false));
  });
  if (!isOpen) return undefined;
  return async (type, body) => {
    const answer = new Promise((resolve) => waiting.set(body.seq, resolve));
    socket.send(JSON.stringify({ type, ...body }));
    return await answer;
  };
}
