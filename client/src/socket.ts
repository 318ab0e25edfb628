import { PING, VIEWER_SUBPROTOCOL, BEARER_SUBPROTOCOL } from '@export-jobs/protocol/constants';
import type { Dial } from './follow.ts';
import type { Span } from './span.ts';

/**
 * Carries a line over a WebSocket. Silence is tested with pings, because a connection that died
 * without a word looks open for minutes.
 */
export function openSocket(line: Span, socketOf: typeof WebSocket, dial: Dial): void {
  const { timing, token } = dial;
  const offered = token === null ? [] : [BEARER_SUBPROTOCOL + token];
  const socket = new socketOf(dial.url.replace(/^http/, 'ws'), [VIEWER_SUBPROTOCOL, ...offered]);
  const ping = () => {
    socket.send(PING);
    line.after(timing.pong);
  };
  const on = { signal: line.signal };
  socket.addEventListener(
    'open',
    () => {
      line.open();
      line.probe = ping;
      line.after(timing.greeting);
    },
    on,
  );
  socket.addEventListener(
    'message',
    ({ data }: MessageEvent<unknown>) => {
      line.after(timing.ping, ping);
      dial.onText(String(data));
    },
    on,
  );
  socket.addEventListener('close', line.finish, on);
  // Chrome warns of one that is closed while it is being opened; waiting for it would keep it longer than wanted.
  line.signal.addEventListener('abort', () => socket.close(1000));
}
