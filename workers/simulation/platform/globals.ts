import { SocketPair } from './sockets.ts';
import type { Stage } from '../stage.ts';
import type { Provider } from './provider.ts';

/** The answer that carries the client's end of a WebSocket; real ones refuse status 101. */
class Upgrade {
  readonly webSocket: unknown;

  constructor(_body: null, init: { webSocket?: unknown }) {
    this.webSocket = init.webSocket;
  }
}

/**
 * Puts virtual time, seeded chance and the stand-ins of a world in the place of what the Worker finds
 * around it. For a thread that does nothing else: it is never undone.
 */
export function installGlobals(world: () => Stage & { provider: Provider }): void {
  const timers = new Map<number, { cancel(): void }>();
  let lastTimer = 0;
  Date.now = () => world().clock.now;
  Math.random = () => world().random.next();
  Object.assign(globalThis, {
    WebSocketPair: SocketPair,
    WebSocketRequestResponsePair: Object,
    Response: Upgrade,
    fetch: (url: string, init?: Parameters<Provider['fetch']>[1]) =>
      world().provider.fetch(url, init),
    setTimeout: (run: () => void, ms: number) => {
      lastTimer += 1;
      const id = lastTimer;
      timers.set(
        id,
        world().clock.after(ms, () => {
          timers.delete(id);
          run();
        }),
      );
      return id;
    },
    clearTimeout: (id: number) => {
      timers.get(id)?.cancel();
      timers.delete(id);
    },
  });
  console.error = (line: unknown) => heardInLog(world(), String(line));
}

/** What the Worker logs belongs to the trace; that it caught itself in a lie is a violation. */
function heardInLog(stage: Stage, line: string): void {
  stage.note('log', line);
  if (line.includes('"msg":"sweep"')) stage.sweepFailed();
  if (line.includes('invariant broken')) stage.violated('self-check', line);
}
