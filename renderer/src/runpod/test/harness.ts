// What the tests of the worker share: a queue on loopback, a worker in this process, a client.
import { once } from 'node:events';
import * as v from 'valibot';
import { afterAll, expect, onTestFinished, vi } from 'vitest';
import { serve, type Handler, type ServeOptions } from '../index.ts';
import {
  startStandIn,
  type StandIn,
  type StandInOptions,
  type TracedCall,
} from '../stand-in/index.ts';

export const KEY = 'key';
const View = v.looseObject({ id: v.string(), status: v.string() });

// Workers are told to end when their test does, and awaited all together: each takes its 300 ms.
const ending: Promise<unknown>[] = [];
const queues: StandIn[] = [];
afterAll(async () => {
  await Promise.all(ending);
  await Promise.all(queues.map((queue) => queue.close()));
});

export async function openQueue(options: Partial<StandInOptions> = {}): Promise<StandIn> {
  const queue = await startStandIn({ port: 0, apiKey: KEY, ...options });
  queues.push(queue);
  return queue;
}

type WorkOptions = Omit<ServeOptions, 'env' | 'log'> & {
  readonly env?: Readonly<Record<string, string>>;
};

/** Starts a worker with short pauses; `ended` settles as `serve` does. */
export function work(queue: StandIn, handler: Handler, { env, ...options }: WorkOptions = {}) {
  const shutdown = new AbortController();
  const lines: string[] = [];
  const ended = serve(handler, {
    env: { ...queue.workerEnv('w1'), RUNPOD_PING_INTERVAL: '200', ...env },
    shutdown: shutdown.signal,
    log: (level, message, fields) => lines.push(JSON.stringify({ level, message, ...fields })),
    retryMs: 20,
    ...options,
  });
  ending.push(ended.catch(() => undefined));
  const stop = async () => {
    shutdown.abort();
    await ended;
  };
  onTestFinished(() => shutdown.abort());
  return { stop, ended, lines, shutdown };
}

export async function ask(queue: StandIn, path: string, method: string, body?: unknown) {
  const response = await fetch(`${queue.url}/v2/local/${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return v.parse(View, await response.json());
}

/** @returns the job's id. */
export async function run(queue: StandIn, input: object = { n: 1 }): Promise<string> {
  return (await ask(queue, 'run', 'POST', { input })).id;
}

export async function until(queue: StandIn, id: string, status: string) {
  return await soon(async () => {
    const view = await ask(queue, `status/${id}`, 'GET');
    expect(view.status).toBe(status);
    return view;
  });
}

/** Waits for an assertion to hold. */
export async function soon<T>(check: () => T | Promise<T>): Promise<T> {
  return await vi.waitFor(check, { timeout: 60_000, interval: 10 });
}

/** The calls of one kind that the queue has heard, oldest first. */
export function heard(queue: StandIn, op: TracedCall['op']): TracedCall[] {
  return queue.trace().filter((call) => call.op === op);
}

export async function aborted(signal: AbortSignal): Promise<unknown> {
  if (!signal.aborted) await once(signal, 'abort');
  return signal.reason;
}
