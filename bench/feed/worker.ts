// The feed as it is deployed, and the least that an object can do in its place, told by whoever calls.
import { DurableObject } from 'cloudflare:workers';
import { JobMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { feedObjectOf } from '../../workers/src/lib/object.ts';

export { ExportFeed } from '../../workers/src/durable-objects/ExportFeed.ts';

/** Sends each message to every socket. All ratios are relative to it. */
export class Floor extends DurableObject {
  override fetch(): Response {
    const { 0: client, 1: socket } = new WebSocketPair();
    this.ctx.acceptWebSocket(socket);
    return new Response(null, { status: 101, webSocket: client });
  }

  report(message: JobMessage): void {
    const text = JSON.stringify(message);
    for (const viewer of this.ctx.getWebSockets()) viewer.send(text);
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close(1000);
  }
}

const TENANT = 'bench';
const Report = v.object({ message: JobMessage, tags: v.array(v.string()) });

export default {
  async fetch(request, env): Promise<Response> {
    const feed = feedObjectOf(env, TENANT);
    if (!feed) return new Response(null, { status: 500 });
    if (request.headers.get('upgrade') === 'websocket') {
      const url = new URL(request.url);
      url.searchParams.set('tenant', TENANT);
      return feed.fetch(new Request(url, request));
    }
    const { message, tags } = v.parse(Report, await request.json());
    await feed.report(message, tags);
    return Response.json({});
  },
} satisfies ExportedHandler<Cloudflare.Env>;
