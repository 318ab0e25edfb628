// Responsible for the client that every command talks through.
import { createClient, type ExportClient } from '@export-jobs/client';

/** Which server, and as whom. */
export interface Server {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | null;
}

/** A server that is silent is given up after a minute and a half, one that is not there after 4 s. */
const TIMING = { request: 15_000, retries: 4 };

export function connect(
  { url, token }: Server,
  { fetch, timing }: { fetch?: typeof globalThis.fetch; timing?: Partial<typeof TIMING> } = {},
): ExportClient {
  return createClient({
    baseUrl: url,
    getToken: () => token,
    WebSocket: WebSocketOfOwner,
    timing: { ...TIMING, ...timing },
    ...(fetch === undefined ? {} : { fetch }),
  });
}

const BEARER = 'bearer.';

/**
 * A browser's socket can carry a token only as a subprotocol, which is for viewers. An owner's key
 * goes into a header, as in every other call, and so may hold characters that no subprotocol can.
 */
const WebSocketOfOwner = new Proxy(WebSocket, {
  construct(target, [url, offered]: unknown[]) {
    const all = Array.isArray(offered) ? offered.map(String) : [];
    const token = all.find((name) => name.startsWith(BEARER))?.slice(BEARER.length);
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const protocols = all.filter((name) => !name.startsWith(BEARER));
    const socket: unknown = Reflect.construct(target, [url, { protocols, headers }]);
    if (socket instanceof WebSocket) return socket;
    throw new TypeError('this runtime has no WebSocket of its own');
  },
});

/**
 * A `fetch` that tells how much of an upload has been sent, in all its parts: the platform's own says so only
 * at the end. What is sent again is counted once.
 */
export function countingFetch(onSent: (bytes: number) => void): typeof fetch {
  let sent = 0;
  const count = (bytes: number) => onSent((sent += bytes));
  return async (input, init) => {
    if (init?.method !== 'PUT' || !(init.body instanceof Blob)) return await fetch(input, init);
    const blob = init.body;
    let own = 0;
    const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        own += chunk.byteLength;
        count(chunk.byteLength);
        controller.enqueue(chunk);
      },
    });
    const headers = new Headers(init.headers);
    headers.set('content-length', `${blob.size}`);
    const streamed: RequestInit & { duplex: 'half' } = {
      ...init,
      headers,
      body: blob.stream().pipeThrough(counter),
      duplex: 'half',
    };
    let arrived = false;
    try {
      const response = await fetch(input, streamed);
      arrived = response.ok;
      return response;
    } finally {
      if (!arrived) count(-own);
    }
  };
}
