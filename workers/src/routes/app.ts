import { Hono } from 'hono';
import type { Handler, MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { isAllowedOrigin } from '../lib/auth.ts';
import { NotConfigured, settingsOf } from '../lib/env.ts';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { Refusal, json, refuse } from '../lib/respond.ts';
import { withoutTokens } from '../lib/text.ts';
import { callJob, jobStatus } from './callbacks.ts';
import { cancelJob, createJob, listEvents, listJobs, retryJob, showJob } from './jobs.ts';
import type { Ctx } from './context.ts';
import { makeFeedToken, watchFeed } from './feed.ts';
import { hearRunPod } from './hooks.ts';
import { connectRenderer, watchJob } from './live.ts';
import { readSource, writeOutput } from './renderer-files.ts';
import { streamJob } from './stream.ts';
import { createUpload, putUpload } from './uploads.ts';
import { downloadVideo } from './videos.ts';

type Route = Handler<{ Bindings: Env }>;
type Method = 'GET' | 'POST' | 'PUT';

/** Every address of the server. A method that is not listed gets 405; HEAD is GET without a body. */
const ROUTES: Readonly<Record<string, Partial<Record<Method, Route>>>> = {
  '/healthz': {
    GET: (c) => json({ ok: true, service: 'export-jobs', development: isDevelopment(c) }),
  },
  '/api/uploads': { POST: createUpload },
  '/api/uploads/:id': { PUT: putUpload },
  '/api/feed': { GET: watchFeed },
  '/api/feed/tokens': { POST: makeFeedToken },
  '/api/jobs': { GET: listJobs, POST: createJob },
  '/api/jobs/:id': { GET: showJob },
  '/api/jobs/:id/cancel': { POST: cancelJob },
  '/api/jobs/:id/retry': { POST: retryJob },
  '/api/jobs/:id/events': { GET: listEvents },
  '/api/jobs/:id/ws': { GET: watchJob },
  '/api/jobs/:id/stream': { GET: streamJob },
  '/api/jobs/:id/renderer': { GET: connectRenderer },
  '/api/jobs/:id/source': { GET: readSource },
  '/api/jobs/:id/output/:epoch': { PUT: writeOutput },
  '/api/jobs/:id/do/status': { GET: jobStatus },
  '/api/jobs/:id/do/:name{init|claim|progress|complete|error}': { POST: callJob },
  '/api/hooks/runpod/:id/:secret': { POST: hearRunPod },
  '/api/videos/download/:key': { GET: downloadVideo },
};

export const app = new Hono<{ Bindings: Env }>();

const EXPOSED = ['content-disposition', 'content-length', 'content-range', 'etag', 'location'];

type Middleware = MiddlewareHandler<{ Bindings: Env }>;
const forPages: Middleware = cors({
  origin: allowedOrigin,
  exposeHeaders: EXPOSED,
  maxAge: 600,
});
/** Renderers call often, and are no pages: their answers need no copy with headers for pages. */
const forPagesOnly: Middleware = async (c, next) => {
  const isRenderer = /^\/api\/jobs\/[^/]+\/do\//.test(c.req.path);
  return isRenderer && c.req.header('origin') === undefined ? next() : forPages(c, next);
};
app.use('/api/*', forPagesOnly);

for (const [path, methods] of Object.entries(ROUTES)) {
  for (const [method, handler] of Object.entries(methods)) app.on(method, path, handler);
  const allow = Object.keys(methods).join(', ');
  app.all(path, () => refuse('method_not_allowed', {}, { allow }));
}

app.notFound(() => refuse('not_found'));

app.onError((error, c) => {
  if (error instanceof Refusal) return refuse(error.code, error.extra);
  if (error instanceof NotConfigured) return refuse('not_configured', { detail: error.message });
  // Some addresses carry secrets.
  logError('unhandled', { path: withoutTokens(c.req.path), error: error.stack });
  return refuse('internal_error');
});

function isDevelopment(c: Ctx): boolean {
  return settingsOf(c.env).DEVELOPMENT === '1';
}

function allowedOrigin(origin: string, c: Ctx): string | null {
  return origin !== '' && isAllowedOrigin(origin, c.req.url, settingsOf(c.env)) ? origin : null;
}
