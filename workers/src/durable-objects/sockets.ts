// What the sockets of viewers and of renderers have in common.

/** Finishes the closing handshake; without this the client waits for it. Reserved codes become 1000. */
export function closeBack(socket: WebSocket, code: number, reason: string): void {
  const reserved = code === 1005 || code === 1006 || code === 1015;
  try {
    socket.close(reserved ? 1000 : code, reason);
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
