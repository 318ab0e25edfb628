// The least that workerd can do for a report: into the object by fetch, parsed, and out to every socket.
// Stores nothing and checks nothing. All ratios are relative to it.
import { DurableObject } from 'cloudflare:workers';
import { messageOf } from './contract.ts';

interface Env {
  EXPORT_JOB: DurableObjectNamespace;
}

export class ExportJobState extends DurableObject<Env> {
  override async fetch(request: Request): Promise<Response> {
    const [, , , id = '', , call = ''] = new URL(request.url).pathname.split('/');
    if (request.headers.get('upgrade') === 'websocket') return this.#watch();
    const text = JSON.stringify(messageOf(call, id, await request.json()));
    for (const viewer of this.ctx.getWebSockets()) viewer.send(text);
    return Response.json({ success: true });
  }

  #watch(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close(1000);
  }
}

export default {
  fetch(request, env) {
    const [, , , id = ''] = new URL(request.url).pathname.split('/');
    return env.EXPORT_JOB.getByName(id).fetch(request);
  },
} satisfies ExportedHandler<Env>;
