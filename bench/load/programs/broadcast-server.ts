// Responsible for the contract's HTTP and WebSocket faces in one Node process: what the contestants that
// run on Node have in common. Tells its parent the port, and ends with it.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import * as v from 'valibot';
import { WebSocketServer, type WebSocket } from 'ws';

const Body = v.object({
  progress: v.optional(v.number()),
  message: v.optional(v.string()),
  error: v.optional(v.string()),
});
type Body = v.InferOutput<typeof Body>;

/** Takes a report of a job; its answer leaves when this resolves. */
export type Take = (id: string, message: object) => Promise<void> | void;

/** Serves, and returns how a message reaches the viewers of a job. */
export function serve(makeTake: (tell: (id: string, message: object) => void) => Take): void {
  const rooms = new Map<string, Set<WebSocket>>();
  const take = makeTake((id, message) => {
    const said = JSON.stringify(message);
    for (const viewer of rooms.get(id) ?? []) viewer.send(said);
  });
  const server = createServer((request, response) => {
    hear(request, response, take).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket, request) => {
    const { id } = partsOf(request);
    const room = rooms.get(id) ?? new Set();
    rooms.set(id, room.add(socket));
    socket.once('close', () => room.delete(socket));
  });
  server.listen(0, '127.0.0.1', () => process.send?.(server.address()));
  process.once('disconnect', () => process.exit());
}

async function hear(request: IncomingMessage, response: ServerResponse, take: Take): Promise<void> {
  const { id, call } = partsOf(request);
  await take(id, messageOf(call, id, v.parse(Body, JSON.parse(await text(request)))));
  const answer = JSON.stringify({ success: true });
  const headers = { 'content-type': 'application/json', 'content-length': answer.length };
  response.writeHead(200, headers).end(answer);
}

/** `/api/jobs/<id>/do/<call>`, `/api/jobs/<id>/ws`. */
function partsOf({ url = '' }: IncomingMessage) {
  const [, , , id = '', , call = ''] = url.split('/');
  return { id, call };
}

function messageOf(call: string, job_id: string, { progress, message, error }: Body): object {
  if (call === 'error') return { type: 'error', job_id, error };
  return { type: 'progress', job_id, progress, message };
}
