// What the sockets of viewers and of renderers have in common.

/** Codes that say how a connection ended, and may not be sent. */
const UNSENDABLE = [1004, 1005, 1006, 1015];
/** A reason is at most 123 bytes, and of these each may have been replaced by a character of three. */
const MAX_REASON = 41;

/**
 * Finishes the closing handshake; without this the client waits for it. A code that may not be sent
 * becomes 1000.
 */
export function closeBack(socket: WebSocket, code: number, reason: string): void {
  const isSendable = code >= 1000 && code < 5000 && !UNSENDABLE.includes(code);
  try {
    socket.close(isSendable ? code : 1000, reason.slice(0, MAX_REASON));
  } catch {
    // The socket is gone already, which is what was asked for.
  }
}

/** Sends to a socket that may have died between two events; its own close event cleans up. */
export function sendQuietly(socket: WebSocket, text: string): void {
  try {
    socket.send(text);
  } catch {
    // Nobody is there to be told.
  }
}

/** The value of a JSON text, or undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The headers of an upgrade: a subprotocol may be named only if it was offered (RFC 6455, 4.1). */
export function upgradeHeaders(request: Request, protocol: string): Record<string, string> {
  const offered = request.headers.get('sec-websocket-protocol')?.split(',') ?? [];
  const isOffered = offered.some((one) => one.trim() === protocol);
  return isOffered ? { 'sec-websocket-protocol': protocol } : {};
}
