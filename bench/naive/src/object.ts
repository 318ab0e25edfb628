import { DurableObject } from 'cloudflare:workers';
import { dispatch } from './dispatch.ts';
import type { Env, ExportJob } from './types.ts';

const MAX_RETRIES = 3;

export class ExportJobState extends DurableObject<Env> {
  #job: ExportJob | null = null;
  #lastHeartbeat = 0;
  readonly #viewers = new Set<WebSocket>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    void ctx.blockConcurrencyWhile(async () => {
      this.#job = (await ctx.storage.get<ExportJob>('job')) ?? null;
    });
  }

  override async fetch(request: Request): Promise<Response> {
    if (request.headers.get('upgrade') === 'websocket') return this.#watch();
    switch (new URL(request.url).pathname) {
      case '/init':
        return await this.#init(await request.json());
      case '/progress':
        return await this.#progress(await request.json());
      case '/complete':
        return await this.#complete(await request.json());
      case '/error':
        return await this.#error(await request.json());
      case '/status':
        return this.#status();
      default:
        return new Response('not found', { status: 404 });
    }
  }

  async #init(job: ExportJob): Promise<Response> {
    this.#job = job;
    this.#lastHeartbeat = Date.now();
    await this.ctx.storage.put('job', job);
    this.#broadcast({ type: 'status', job_id: job.id, status: job.status, progress: job.progress });
    return Response.json({ success: true });
  }

  async #progress({ progress, message }: { progress: number; message?: string }) {
    if (!this.#job) return notInitialised();
    this.#job.status = 'processing';
    this.#job.progress = progress;
    this.#lastHeartbeat = Date.now();
    await this.ctx.storage.put('job', this.#job);
    await this.env.DB.prepare(
      `UPDATE export_jobs SET progress = ?, status = 'processing',
         started_at = COALESCE(started_at, datetime('now')) WHERE id = ?`,
    )
      .bind(progress, this.#job.id)
      .run();
    this.#broadcast({ type: 'progress', job_id: this.#job.id, progress, message });
    return Response.json({ success: true });
  }

  async #complete({ output_video_key }: { output_video_key: string }): Promise<Response> {
    if (!this.#job) return notInitialised();
    this.#job.status = 'complete';
    this.#job.progress = 100;
    this.#job.output_video_key = output_video_key;
    await this.ctx.storage.put('job', this.#job);
    await this.env.DB.prepare(
      `UPDATE export_jobs SET status = 'complete', progress = 100, output_video_key = ?,
         completed_at = datetime('now') WHERE id = ?`,
    )
      .bind(output_video_key, this.#job.id)
      .run();
    const output_url = `/api/videos/download/${encodeURIComponent(output_video_key)}`;
    this.#broadcast({ type: 'complete', job_id: this.#job.id, output_url });
    return Response.json({ success: true });
  }

  async #error({ error, should_retry }: { error: string; should_retry?: boolean }) {
    if (!this.#job) return notInitialised();
    const attempts = this.#job.retry_count + 1;
    if (should_retry && attempts < MAX_RETRIES) {
      this.#job.status = 'pending';
      this.#job.progress = 0;
      this.#job.retry_count = attempts;
      await this.ctx.storage.put('job', this.#job);
      await this.#save();
      this.#broadcast({
        type: 'status',
        job_id: this.#job.id,
        status: 'pending',
        progress: 0,
        message: `attempt ${attempts + 1}/${MAX_RETRIES}`,
      });
      await dispatch(this.env, this.#job);
      return Response.json({ success: true, retrying: true });
    }
    this.#job.status = 'error';
    this.#job.error = error;
    await this.ctx.storage.put('job', this.#job);
    await this.#save();
    this.#broadcast({ type: 'error', job_id: this.#job.id, error });
    return Response.json({ success: true, retrying: false });
  }

  #status(): Response {
    if (!this.#job) return Response.json({ status: 'not_found' });
    const connections = this.#viewers.size;
    return Response.json({ job: this.#job, connections, last_heartbeat: this.#lastHeartbeat });
  }

  #watch(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    this.#viewers.add(server);
    this.#greet(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(socket: WebSocket, text: string): void {
    // oxlint-disable-next-line typescript/no-unsafe-assignment -- no validation is one of the things that are shown
    const message: { type?: string } = JSON.parse(text);
    if (message.type === 'ping') socket.send(JSON.stringify({ type: 'pong' }));
    if (message.type === 'subscribe') this.#greet(socket);
  }

  override webSocketClose(socket: WebSocket): void {
    this.#viewers.delete(socket);
  }

  #greet(socket: WebSocket): void {
    if (!this.#job) return;
    const { id, status, progress } = this.#job;
    socket.send(JSON.stringify({ type: 'status', job_id: id, status, progress }));
  }

  #broadcast(message: object): void {
    for (const viewer of this.#viewers) {
      try {
        viewer.send(JSON.stringify(message));
      } catch {
        this.#viewers.delete(viewer);
      }
    }
  }

  async #save(): Promise<void> {
    if (!this.#job) return;
    const { id, status, progress, retry_count, error = null } = this.#job;
    await this.env.DB.prepare(
      'UPDATE export_jobs SET status = ?, progress = ?, retry_count = ?, error = ? WHERE id = ?',
    )
      .bind(status, progress, retry_count, error, id)
      .run();
  }
}

function notInitialised(): Response {
  return new Response('job not initialised', { status: 400 });
}
