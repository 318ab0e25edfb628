import { PING } from '@export-jobs/protocol/constants';
import type { Timing } from './timing.ts';
import { onWake } from './wake.ts';

/** How one socket's life went. `uptime` in ms from opening; 0 when it never opened. */
export interface SocketEnd {
  opened: boolean;
  uptime: number;
  code: number;
}

export interface Dial {
  WebSocket: typeof WebSocket;
  url: string;
  protocols: string[];
  timing: Timing;
  /** Whether nothing is known yet, so that a server with something to say says it at once. */
  greeted: boolean;
  signal: AbortSignal;
  onText: (text: string) => void;
}

/**
 * Opens one socket and resolves when it is over, for whatever reason; never rejects. Silence is
 * tested with pings, because a connection that died without a word looks open for minutes.
 */
export function runSocket(dial: Dial): Promise<SocketEnd> {
  const { timing } = dial;
  const { promise, resolve } = Promise.withResolvers<SocketEnd>();
  const socket = new dial.WebSocket(dial.url, dial.protocols);
  const over = new AbortController();
  let openedAt: number | null = null;
  let timer: ReturnType<typeof setTimeout>;

  const finish = (code: number) => {
    clearTimeout(timer);
    over.abort();
    const uptime = openedAt === null ? 0 : performance.now() - openedAt;
    resolve({ opened: openedAt !== null, uptime, code });
  };
  const hangUp = (code: number) => {
    finish(code);
    socket.close(1000);
  };
  const after = (ms: number, action: () => void) => {
    clearTimeout(timer);
    timer = setTimeout(action, ms);
  };
  const probe = () => {
    if (openedAt === null) return;
    socket.send(PING);
    after(timing.pong, () => hangUp(1006));
  };
  const alive = () => after(timing.ping, probe);

  const on = { signal: over.signal };
  const opened = () => {
    openedAt = performance.now();
    if (dial.greeted) after(timing.greeting, () => hangUp(1006));
    else alive();
  };
  const heard = (event: MessageEvent<unknown>) => {
    alive();
    if (typeof event.data === 'string') dial.onText(event.data);
  };
  socket.addEventListener('open', opened, on);
  socket.addEventListener('message', heard, on);
  socket.addEventListener('close', (event) => finish(event.code), on);
  dial.signal.addEventListener('abort', () => hangUp(1000), on);
  over.signal.addEventListener(
    'abort',
    onWake((reason) => (reason === 'network' ? hangUp(1006) : probe())),
  );
  after(timing.connect, () => hangUp(1006));
  return promise;
}
