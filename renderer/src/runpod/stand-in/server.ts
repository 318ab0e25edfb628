// Responsible for the stand-in as a whole: puts its parts together, starts and ends it.
import { createServer, type Server } from 'node:http';
import { ClientApi } from './client-api.ts';
import type { Endpoint } from './endpoint.ts';
import { Gate } from './gate.ts';
import { Queue } from './queue.ts';
import { QueueFile } from './queue-file.ts';
import { Script, type Rule } from './script.ts';
import { Trace, type TracedCall } from './trace.ts';
import { Waiting } from './waiting.ts';
import { Webhooks } from './webhooks.ts';
import { WorkerApi } from './worker-api.ts';
import { Workers } from './workers.ts';

export interface StandInOptions {
  /** 0 lets the system choose a free one. */
  readonly port: number;
  /** The one key: clients send it as a bearer token, workers as it is. */
  readonly apiKey: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default `local`. */
  readonly endpointId?: string;
  /** How long a silent worker keeps its job, ms. Default 40,000. */
  readonly leaseMs?: number;
  /** How a job ends that ran too long. Default FAILED. */
  readonly timeoutStatus?: 'FAILED' | 'TIMED_OUT';
  /** Where the queue survives a restart; without it the queue lives in memory only. */
  readonly stateFile?: string;
  /** How long an empty `job-take` or `job-stop` is held open, ms. Default 20,000. */
  readonly holdMs?: number;
  /** Pause between the tries of a webhook, ms. Default 10,000. */
  readonly webhookRetryMs?: number;
  /** Hears of each call, also of each try of a webhook, once it is over. */
  readonly onCall?: (call: TracedCall) => void;
}

export interface StandIn {
  readonly url: string;
  readonly port: number;
  /** The environment that makes a process a worker of this queue. */
  workerEnv(workerId: string): Record<string, string>;
  /**
   * Says what goes wrong from now on, in the place of what was said before; `[]` is nothing.
   * @throws when a rule is not valid.
   */
  script(rules: readonly Rule[]): void;
  /** The newest 2000 calls, oldest first. */
  trace(): TracedCall[];
  /** Stops serving; open polls are answered, and what is queued is on disk. */
  close(): Promise<void>;
}

/**
 * Starts RunPod's queue for one endpoint on this machine.
 * @throws when the port is taken or the state file cannot be read.
 */
export async function startStandIn(options: StandInOptions): Promise<StandIn> {
  const { host = '127.0.0.1', endpointId = 'local', leaseMs = 40_000, apiKey } = options;
  const closing = new AbortController();
  const script = new Script();
  const trace = new Trace(options.onCall);
  const endpoint = await openEndpoint(options, leaseMs, script, trace, closing.signal);
  const gate = new Gate({
    apiKey,
    endpointId,
    clients: new ClientApi(endpoint).routes,
    workers: new WorkerApi(endpoint, options.holdMs ?? 20_000).routes,
    script,
    trace,
    closing: closing.signal,
  });
  const server = createServer((request, response) => void gate.serve(request, response));
  const port = await listen(server, options.port, host);
  const url = `http://${host}:${port}`;
  const ticker = setInterval(
    () => {
      if (endpoint.queue.tick(Date.now())) void endpoint.commit();
    },
    Math.min(250, leaseMs / 4),
  );
  return {
    url,
    port,
    workerEnv: (workerId) => workerEnv(url, endpointId, apiKey, workerId),
    script: (rules) => script.set(rules),
    trace: () => trace.calls(),
    async close() {
      clearInterval(ticker);
      closing.abort();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 200).unref();
      });
      await endpoint.commit();
    },
  };
}

async function openEndpoint(
  { stateFile, timeoutStatus = 'FAILED', webhookRetryMs = 10_000 }: StandInOptions,
  leaseMs: number,
  script: Script,
  trace: Trace,
  closing: AbortSignal,
): Promise<Endpoint> {
  const file = new QueueFile(stateFile);
  const webhooks = new Webhooks(webhookRetryMs, script, trace, closing);
  const queue = new Queue(
    {
      leaseMs,
      timeoutStatus,
      onEnd(view, webhook) {
        if (webhook !== undefined) void webhooks.send(webhook, view);
      },
    },
    await file.load(),
    Date.now(),
  );
  const waiting = new Waiting(closing);
  const commit = async () => {
    await file.save(queue.state());
    waiting.wake();
  };
  return { queue, workers: new Workers(), waiting, commit };
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}

function workerEnv(
  url: string,
  endpointId: string,
  apiKey: string,
  workerId: string,
): Record<string, string> {
  const base = `${url}/v2/${endpointId}`;
  return {
    RUNPOD_WEBHOOK_GET_JOB: `${base}/job-take/$ID?gpu=local`,
    RUNPOD_WEBHOOK_POST_OUTPUT: `${base}/job-done/$RUNPOD_POD_ID/$ID?gpu=local`,
    RUNPOD_WEBHOOK_POST_STREAM: `${base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=local`,
    RUNPOD_WEBHOOK_PING: `${base}/ping/$RUNPOD_POD_ID?gpu=local`,
    RUNPOD_AI_API_KEY: apiKey,
    RUNPOD_POD_ID: workerId,
    RUNPOD_ENDPOINT_ID: endpointId,
    RUNPOD_PING_INTERVAL: '10000',
  };
}
