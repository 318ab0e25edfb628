// Responsible for viewers on a WebSocket: of one job, and of the feed.
import * as v from 'valibot';
import { hearText, watchdog, type Visit, type Way } from './way.ts';

const PING = '{"type":"ping"}';
const PING_MS = 2500;
/** A socket that says nothing for this long, not even a pong, is given up, ms. */
const SILENCE_MS = 7000;

/** A job's own socket, resumed by `?since=`. */
export function bySocket(): Way {
  return async (visit) => {
    const { jobId, since } = visit;
    const query = since === null ? '' : `?since=${since}`;
    await watchSocket(`/api/jobs/${jobId}/ws${query}`, visit, visit.hear);
  };
}

/** All is told that there was to tell. */
export const Ready = v.looseObject({ type: v.literal('ready'), cursor: v.number() });

/** The owner's feed, resumed by the cursor of its last `ready`. */
export function byFeed(): Way {
  let cursor: number | null = null;
  return async (visit) => {
    const query = cursor === null ? '' : `?since=${cursor}`;
    await watchSocket(`/api/feed${query}`, visit, (told) => {
      if (v.is(Ready, told)) ({ cursor } = told);
      visit.hear(told);
    });
  };
}

async function watchSocket(
  path: string,
  { url, token, signal, refused }: Visit,
  hear: (told: unknown) => void,
): Promise<void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, [
    'export.v1',
    `bearer.${token}`,
  ]);
  const life = watchdog(SILENCE_MS, signal);
  const ping = setInterval(
    () => socket.readyState === WebSocket.OPEN && socket.send(PING),
    PING_MS,
  );
  const on = { signal: life.signal };
  await new Promise<void>((resolve) => {
    socket.addEventListener(
      'message',
      ({ data }) => {
        life.alive();
        hearText(String(data), { hear, refused });
      },
      on,
    );
    for (const event of ['close', 'error']) socket.addEventListener(event, () => resolve());
    life.signal.addEventListener('abort', () => resolve());
    if (life.signal.aborted) resolve();
  });
  clearInterval(ping);
  life.stop();
  socket.close();
}
