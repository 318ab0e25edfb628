import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { insist } from './insist.ts';
import { pause } from './pause.ts';
import type { StandIn } from './stand-in/index.ts';
import { aborted, ask, heard, openQueue, run, soon, until, work } from './test/harness.ts';

const PROCESS = fileURLToPath(import.meta.resolve('./test/worker-process.ts'));

/** Starts a worker as a process; its standard input and error are the test's. */
function startProcess(queue: StandIn, env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [PROCESS], {
    env: { ...queue.workerEnv('w1'), RUNPOD_PING_INTERVAL: '200', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  });
  let output = '';
  child.stdout.on('data', (part) => (output += String(part)));
  const exit = once(child, 'exit');
  const end = async (signal: NodeJS.Signals) => {
    const startedAt = performance.now();
    child.kill(signal);
    await exit;
    return { code: child.exitCode, ms: performance.now() - startedAt };
  };
  return { child, end, exit, says: (text: string) => soon(() => expect(output).toContain(text)) };
}

/** A place to take jobs where the test itself answers each poll; the queue takes every result. */
async function openPolls(queue: StandIn) {
  queue.script([{ on: 'job-done', fault: { status: 200 } }]);
  const polls: ServerResponse[] = [];
  const server = createServer((_, response) => polls.push(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const poll = () => soon(() => polls[0] ?? expect.fail('nobody polls'));
  return { poll, env: { RUNPOD_WEBHOOK_GET_JOB: `http://127.0.0.1:${port}/take/$ID` } };
}

/** The results that were taken. */
const results = (queue: StandIn) =>
  heard(queue, 'job-done')
    .filter(({ status }) => status === 200)
    .map(({ body }) => body);

describe('a worker that is told to end', () => {
  it('has ended within a second when it is idle, though its polls are held for a minute', async () => {
    const queue = await openQueue({ holdMs: 60_000 });
    const { shutdown, ended } = work(queue, async () => ({ output: 1 }));
    await soon(() => expect(heard(queue, 'job-take')).toHaveLength(1));
    await soon(() => expect(heard(queue, 'job-stop')).toHaveLength(1));
    shutdown.abort();
    // Timers of one process keep their order, however long a busy machine holds it up.
    const late = pause(1000).then(() => 'late');
    expect(await Promise.race([ended.then(() => 'ended'), late])).toBe('ended');
  });

  it('is gone as a process too', async () => {
    const queue = await openQueue({ holdMs: 60_000 });
    const { end } = startProcess(queue);
    await soon(() => expect(heard(queue, 'job-take')).toHaveLength(1));
    await soon(() => expect(heard(queue, 'job-stop')).toHaveLength(1));
    const { code, ms } = await end('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(20_000);
  });

  it('hands a job that still arrives to its handler, aborted from the start', async () => {
    const queue = await openQueue();
    const { env, poll } = await openPolls(queue);
    const seen: unknown[] = [];
    const { shutdown, ended } = work(
      queue,
      async (_, { signal }) => {
        seen.push(signal.aborted, signal.reason);
        return { error: 'given back' };
      },
      { env, drainMs: 60_000 },
    );
    const response = await poll();
    shutdown.abort();
    await pause(100);
    response.end(JSON.stringify({ id: 'late', input: { n: 1 } }));
    await ended;
    expect(seen).toMatchObject([true, { kind: 'shutdown' }]);
    expect(results(queue)).toEqual([{ error: 'given back' }]);
  });

  it('loses no job that is handed over at the moment of the signal', async () => {
    const queue = await openQueue();
    const { env, poll } = await openPolls(queue);
    const { end } = startProcess(queue, env);
    const response = await poll();
    const ending = end('SIGTERM');
    response.end(JSON.stringify({ id: 'late', input: { ms: 60_000 } }));
    expect((await ending).code).toBe(0);
    expect(results(queue)).toEqual([{ error: 'given back' }]);
  });

  it('aborts a running job, delivers what it says, and takes no other', async () => {
    const queue = await openQueue();
    const { end, says } = startProcess(queue);
    const [running, waiting] = [await run(queue, { ms: 60_000 }), await run(queue, { ms: 1 })];
    await says('handling');
    const { code, ms } = await end('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(20_000);
    expect(results(queue)).toEqual([{ error: 'given back' }]);
    expect(await ask(queue, `status/${running}`, 'GET')).toMatchObject({ status: 'FAILED' });
    expect(await ask(queue, `status/${waiting}`, 'GET')).toMatchObject({ status: 'IN_QUEUE' });
  });

  it('still delivers a result that was refused before, in a hurry', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', nth: [1, 2, 3, 4, 5, 6, 7, 8], fault: { status: 503 } }]);
    const { end } = startProcess(queue);
    const id = await run(queue, { ms: 1 });
    await soon(() => expect(heard(queue, 'job-done')).toHaveLength(5));
    const { code, ms } = await end('SIGTERM');
    expect(code).toBe(0);
    // By now the pauses have grown to a second and more, five seconds in all; at the end they are short again.
    expect(ms).toBeLessThan(4000);
    expect(await ask(queue, `status/${id}`, 'GET')).toMatchObject({ output: 'done' });
  });

  it('does not wait out a long pause before it sends again', async () => {
    const [shutdown, giveUp] = [new AbortController(), new AbortController().signal];
    const statuses = [503, 200];
    const send = async () => statuses.shift() ?? 0;
    const log = () => undefined;
    const startedAt = performance.now();
    const sending = insist(send, { retryMs: 40_000, giveUp, hurry: shutdown.signal, log });
    await soon(() => expect(statuses).toHaveLength(1));
    shutdown.abort();
    expect(await sending).toBe(200);
    // Else it would be twenty seconds at least.
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  it('gives a call up that finds nobody, even one that is under way', async () => {
    const [shutdown, giveUp] = [new AbortController(), new AbortController().signal];
    let calls = 0;
    const send = async (signal: AbortSignal) => {
      calls += 1;
      if (calls === 3) await aborted(signal);
      return 503;
    };
    const log = () => undefined;
    const sending = insist(send, { retryMs: 10, giveUp, hurry: shutdown.signal, log }, 100);
    await soon(() => expect(calls).toBe(2));
    shutdown.abort();
    expect(await sending).toBe(503);
    expect(calls).toBe(3);
  });

  it('lets running jobs come to their end for as long as it may drain', async () => {
    const queue = await openQueue();
    const [short, long] = [await run(queue), await run(queue)];
    const { shutdown, ended } = work(
      queue,
      async ({ id }, { signal }) => {
        await aborted(id === short ? shutdown.signal : signal);
        if (id === short) await pause(100);
        return { output: signal.aborted ? 'aborted' : 'whole' };
      },
      { drainMs: 400, concurrency: 2 },
    );
    await until(queue, short, 'IN_PROGRESS');
    shutdown.abort();
    await ended;
    expect(await ask(queue, `status/${short}`, 'GET')).toMatchObject({ output: 'whole' });
    expect(await ask(queue, `status/${long}`, 'GET')).toMatchObject({ output: 'aborted' });
  });

  it('ends at once when it is told a second time', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', fault: { status: 503 } }]);
    const { child, exit } = startProcess(queue);
    await run(queue, { ms: 1 });
    await soon(() => expect(heard(queue, 'job-done')).not.toHaveLength(0));
    const tries = heard(queue, 'job-done').length;
    child.kill('SIGTERM');
    await soon(() => expect(heard(queue, 'job-done').length).toBeGreaterThan(tries + 1));
    child.kill('SIGTERM');
    await exit;
    expect(child.exitCode).toBe(1);
  });
});

describe('a worker that is killed', () => {
  it('pings no more: its lease runs out, and another worker does the job', async () => {
    const queue = await openQueue({ leaseMs: 1200 });
    const { end, says } = startProcess(queue, { RUNPOD_PING_INTERVAL: '100' });
    const id = await run(queue, { ms: 60_000 });
    await says('handling');
    await soon(() => expect(heard(queue, 'ping').at(-1)?.query['job_id']).toBe(id));
    await end('SIGKILL');
    const pings = heard(queue, 'ping').length;
    work(queue, async () => ({ output: 'again' }), {
      env: { RUNPOD_POD_ID: 'w2', RUNPOD_PING_INTERVAL: '60000' },
    });
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ retries: 1, workerId: 'w2' });
    const later = heard(queue, 'ping').slice(pings);
    expect(later.map(({ path }) => path).filter((path) => path.endsWith('/w1'))).toEqual([]);
  });
});
