// The same on PartyServer, as its documentation shows it, with hibernation.
import { routePartykitRequest, Server } from 'partyserver';
import { messageOf } from './contract.ts';

interface Env {
  Job: DurableObjectNamespace<Job>;
}

export class Job extends Server {
  static override options = { hibernate: true };

  override async onRequest(request: Request): Promise<Response> {
    const call = new URL(request.url).pathname.split('/').at(-1) ?? '';
    this.broadcast(JSON.stringify(messageOf(call, this.name, await request.json())));
    return Response.json({ success: true });
  }
}

export default {
  async fetch(request, env) {
    const answer = await routePartykitRequest(request, env);
    return answer ?? new Response('not found', { status: 404 });
  },
} satisfies ExportedHandler<Env>;
