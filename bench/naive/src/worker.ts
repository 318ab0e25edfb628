// The contract, implemented as it reads by somebody who builds on Durable Objects for the first time.
// A baseline to compare with: see README.md for what it leaves out on purpose.
import { dispatch } from './dispatch.ts';
import type { Env, ExportJob } from './types.ts';

export { ExportJobState } from './object.ts';

const JSON_HEADERS = { 'content-type': 'application/json' };

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === '/healthz') return Response.json({ ok: true, service: 'export-jobs' });
    const [, , kind = '', id = '', ...rest] = pathname.split('/');
    switch (kind) {
      case 'uploads':
        return id === '' ? announceUpload() : await upload(request, env, id);
      case 'videos':
        return await video(request, env, decodeURIComponent(rest[0] ?? ''));
      case 'jobs':
        return id === '' ? await createJob(request, env) : await toObject(request, env, id, rest);
      default:
        return new Response('not found', { status: 404 });
    }
  },
} satisfies ExportedHandler<Env>;

function announceUpload(): Response {
  const upload_id = crypto.randomUUID();
  return Response.json({ upload_id, url: `/api/uploads/${upload_id}` }, { status: 201 });
}

async function upload(request: Request, env: Env, id: string): Promise<Response> {
  if (request.method === 'PUT') {
    await env.VIDEOS.put(`uploads/${id}`, await request.arrayBuffer());
    return Response.json({ upload_id: id });
  }
  const object = await env.VIDEOS.get(`uploads/${id}`);
  return object ? new Response(object.body) : new Response('not found', { status: 404 });
}

async function video(request: Request, env: Env, key: string): Promise<Response> {
  if (request.method === 'PUT') {
    await env.VIDEOS.put(key, await request.arrayBuffer());
    return Response.json({ key });
  }
  const object = await env.VIDEOS.get(key);
  return object ? new Response(object.body) : new Response('not found', { status: 404 });
}

/** The contract's first step: the record in D1, then the object; then the renderer is started. */
async function createJob(request: Request, env: Env): Promise<Response> {
  const body: { input: { upload_id: string }; options?: { container?: string } } =
    await request.json();
  const id = crypto.randomUUID();
  const input = {
    upload_id: body.input.upload_id,
    container: body.options?.container ?? 'mp4',
  };
  const job: ExportJob = { id, status: 'pending', progress: 0, retry_count: 0, input };
  await env.DB.prepare('INSERT INTO export_jobs (id, status, progress) VALUES (?, ?, ?)')
    .bind(id, job.status, job.progress)
    .run();
  await env.EXPORT_JOB.getByName(id).fetch('http://object/init', {
    method: 'POST',
    headers: JSON_HEADERS,
    body: JSON.stringify(job),
  });
  await dispatch(env, job);
  return Response.json({ job }, { status: 201 });
}

async function toObject(
  request: Request,
  env: Env,
  id: string,
  [kind, name = '']: string[],
): Promise<Response> {
  if (kind !== 'ws' && kind !== 'do') return new Response('not found', { status: 404 });
  const path = kind === 'ws' ? 'ws' : name;
  return await env.EXPORT_JOB.getByName(id).fetch(new Request(`http://object/${path}`, request));
}
