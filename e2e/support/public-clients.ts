// Clients that know nothing of this project, as their own documentation has them used, each following one job.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { BEARER_SUBPROTOCOL, PING, VIEWER_SUBPROTOCOL } from '@export-jobs/protocol';
import { WebSocket as PartyWebSocket } from 'partysocket';
import type { Page } from 'playwright-core';
import { inRoot } from '../../scripts/lib/paths.ts';
import { Followed } from './followed.ts';
import { until } from './processes.ts';

/** What a client is given: a server, a job, and the viewer's token where one is asked for. */
export interface Watched {
  readonly base: string;
  readonly id: string;
  readonly token?: string | undefined;
}

export interface Client {
  readonly followed: Followed;
  /** Resolves when all that was said to it has come. @throws when the client does not see the end of it. */
  readonly settle: () => Promise<void>;
  readonly close: () => unknown;
}

const socketOf = ({ base, id }: Watched) => `${base.replace('http', 'ws')}/api/jobs/${id}/ws`;
const streamOf = ({ base, id }: Watched) => `${base}/api/jobs/${id}/stream`;
const protocolsOf = ({ token }: Watched) =>
  token === undefined ? [] : [VIEWER_SUBPROTOCOL, BEARER_SUBPROTOCOL + token];

/** What is said on a socket before the answer to a ping has come before that. */
async function pinged(followed: Followed, say: (text: string) => unknown): Promise<void> {
  const { pongs } = followed;
  await say(PING);
  await until('the answer to a ping', () => followed.pongs > pongs);
}

/** A program, and each line that it prints. */
function start(program: string, args: string[], onLine: (line: string) => void): ChildProcess {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', onLine);
  return child;
}

export function wscat(job: Watched): Client {
  const followed = new Followed();
  followed.opened();
  const protocols = protocolsOf(job).flatMap((protocol) => ['-s', protocol]);
  const args = [inRoot('node_modules', '.bin', 'wscat'), '-c', socketOf(job), ...protocols];
  // Its prompt stands before whatever is printed next.
  const child = start(process.execPath, args, (line) => followed.heard(line.replace(/^(> )+/, '')));
  return {
    followed,
    settle: () => pinged(followed, (text) => child.stdin?.write(`${text}\n`)),
    close: () => child.kill('SIGKILL'),
  };
}

/** Called again with the last id whenever the connection is lost. */
export function curl(job: Watched): Client {
  const followed = new Followed();
  const bearer = job.token === undefined ? [] : ['-H', `Authorization: Bearer ${job.token}`];
  let seen: string[] = [];
  let child: ChildProcess;
  const call = async (): Promise<void> => {
    followed.opened();
    child = start('curl', ['-N', '-s', ...bearer, ...seen, streamOf(job)], (line) => {
      const [, name, value = ''] = /^(id|data): (.*)$/.exec(line) ?? [];
      if (name === 'id') seen = ['-H', `Last-Event-ID: ${value}`];
      if (name === 'data') followed.heard(value);
    });
    await once(child, 'close');
    if (child.exitCode !== 0 && child.signalCode === null) await call();
  };
  const over = call();
  return {
    followed,
    async settle() {
      await over;
      // Who has seen the end is told so without a word.
      await call();
      if (followed.connections.at(-1)?.length !== 0) throw new Error('told again after the end');
    },
    close: () => child.kill('SIGKILL'),
  };
}

/** With the cursor in the address, which it asks for before each dial. */
export function partysocket(job: Watched): Client & { readonly socket: PartyWebSocket } {
  const followed = new Followed();
  const address = () => {
    const { last } = followed;
    return socketOf(job) + (last === undefined ? '' : `?since=${last.seq}`);
  };
  const socket = new PartyWebSocket(address, protocolsOf(job), { minReconnectionDelay: 100 });
  socket.addEventListener('open', () => followed.opened());
  socket.addEventListener('message', ({ data }) => followed.heard(String(data)));
  return {
    followed,
    socket,
    settle: () => pinged(followed, (text) => socket.send(text)),
    close: () => socket.close(),
  };
}

/** Debian's Python with its `websockets`, which dials again at the same address. */
export function python(program: string, job: Watched): Client {
  const followed = new Followed();
  const script = inRoot('e2e', 'support', 'follow.py');
  const child = start(program, [script, socketOf(job)], (line) =>
    line === '' ? followed.opened() : followed.heard(line),
  );
  return {
    followed,
    settle: () => pinged(followed, (text) => child.stdin?.write(`${text}\n`)),
    close: () => child.kill('SIGKILL'),
  };
}

/** The browser's own, in a page of the server's origin. */
export async function browserSocket(page: Page, job: Watched): Promise<Client> {
  const followed = await followedIn(page);
  const socket = await page.evaluateHandle(
    ([url, protocols]) => {
      const socket = new WebSocket(url, protocols);
      socket.addEventListener('open', () => window.tell(null));
      socket.addEventListener('message', ({ data }) => window.tell(String(data)));
      return socket;
    },
    [socketOf(job), protocolsOf(job)] as const,
  );
  return {
    followed,
    settle: () =>
      pinged(followed, (text) => socket.evaluate((socket, text) => socket.send(text), text)),
    close: () => page.close(),
  };
}

/** The browser's own, which comes back by itself with the last id. */
export async function eventSource(page: Page, job: Watched): Promise<Client> {
  const followed = await followedIn(page);
  const source = await page.evaluateHandle((url) => {
    const source = new EventSource(url);
    source.addEventListener('open', () => window.tell(null));
    source.addEventListener('message', ({ data }) => window.tell(String(data)));
    return source;
  }, streamOf(job));
  const isClosed = () => source.evaluate(({ readyState }) => readyState === EventSource.CLOSED);
  return {
    followed,
    settle: async () => void (await until('it gives up', isClosed)),
    close: () => page.close(),
  };
}

declare global {
  interface Window {
    /** Tells the test that a connection is open (null), or what was heard on it. */
    tell(text: string | null): void;
  }
}

async function followedIn(page: Page): Promise<Followed> {
  const followed = new Followed();
  await page.exposeFunction('tell', (text: string | null) =>
    text === null ? followed.opened() : followed.heard(text),
  );
  return followed;
}
