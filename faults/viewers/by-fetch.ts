// Responsible for viewers that have nothing but HTTP: server-sent events, long polls, and plain GETs.
import { hearText, watchdog, type Visit, type Way } from './way.ts';

/** The server shows each 20 s that a stream lives. */
const STREAM_SILENCE_MS = 25_000;
const POLL_S = 10;
const POLL_SILENCE_MS = 15_000;
const CALL_SILENCE_MS = 6000;
const GET_PAUSE_MS = 700;

/** Server-sent events, resumed by `Last-Event-ID`. */
export function byStream(): Way {
  return async (visit) => {
    const { since } = visit;
    const headers = {
      accept: 'text/event-stream',
      ...(since !== null && { 'last-event-id': `${since}` }),
    };
    await call('/stream', headers, visit, STREAM_SILENCE_MS, async ({ body }, alive) => {
      let text = '';
      for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
        alive();
        const events = (text + part).split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event)?.[1];
          if (data !== undefined) hearText(data, visit);
        }
      }
    });
  };
}

/** One long poll, from the number that was seen last, or from the beginning. */
export function byLongPoll(): Way {
  return async (visit) => {
    const query = `?since=${visit.since ?? 0}&wait=${POLL_S}`;
    await call(query, {}, visit, POLL_SILENCE_MS, async (response) => {
      const told: unknown = await response.json();
      if (typeof told !== 'object' || told === null) return;
      const events = 'events' in told && Array.isArray(told.events) ? told.events : [];
      for (const event of events) visit.hear(event);
      visit.hear(told);
    });
  };
}

/** One plain GET, with the tag of the answer before it. */
export function byGet(): Way {
  let tag: string | null = null;
  return async (visit) => {
    const headers: Record<string, string> = tag === null ? {} : { 'if-none-match': tag };
    await call('', headers, visit, CALL_SILENCE_MS, async (response) => {
      visit.hear(await response.json());
      tag = response.headers.get('etag');
    });
    await pause(GET_PAUSE_MS, visit.signal);
  };
}

async function call(
  at: string,
  headers: Record<string, string>,
  { url, jobId, token, signal, refused }: Visit,
  silenceMs: number,
  read: (response: Response, alive: () => void) => Promise<void>,
): Promise<void> {
  const life = watchdog(silenceMs, signal);
  try {
    const response = await fetch(`${url}/api/jobs/${jobId}${at}`, {
      headers: { ...headers, authorization: `Bearer ${token}` },
      signal: life.signal,
    });
    if (response.status >= 400 && response.status < 500) refused(`${response.status} to ${at}`);
    if (response.status === 200) await read(response, life.alive);
    else await response.body?.cancel();
  } finally {
    life.stop();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
