import { Hono } from 'hono';
import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { isAllowedOrigin } from '../access/callers.ts';
import { NotConfigured, settingsOf } from '../lib/env.ts';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { Refusal, json, refuse } from '../lib/respond.ts';
import { withoutTokens } from '../lib/text.ts';
import { callJob, jobStatus } from './callbacks.ts';
import {
  cancelJob,
  createJob,
  deleteJob,
  listEvents,
  listJobs,
  retryJob,
  showJob,
} from './jobs.ts';
import type { Ctx } from './context.ts';
import {
  anyone,
  feedViewer,
  link,
  owner,
  renderer,
  rendererOrHand,
  uploader,
  viewer,
} from './entrances.ts';
import type { Entrance } from './entrances.ts';
import { makeFeedToken, watchFeed } from './feed.ts';
import { hearRunPod } from './hooks.ts';
import { makeKey, removeKey, showKeys } from './keys.ts';
import { connectRenderer, watchJob } from './live.ts';
import { beginOutput, completeOutput, mintOutputParts } from './output-parts.ts';
import { readSource, writeOutput } from './renderer-files.ts';
import { streamJob } from './stream.ts';
import { makeViewerToken } from './tokens.ts';
import {
  abortUpload,
  completeUpload,
  createUpload,
  mintUploadParts,
  putPart,
  putUpload,
} from './uploads.ts';
import { downloadVideo } from './videos.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/**
 * Every address of the server, and who may enter. A method that is not listed gets 405; HEAD is GET without
 * a body.
 */
export const ROUTES: Readonly<Record<string, Partial<Record<Method, Entrance>>>> = {
  '/healthz': {
    GET: anyone((c) => json({ ok: true, service: 'export-jobs', development: isDevelopment(c) })),
  },
  '/api/keys': { GET: owner('admin', showKeys), POST: owner('admin', makeKey) },
  '/api/keys/:id': { DELETE: owner('admin', removeKey) },
  '/api/uploads': { POST: owner('create', createUpload) },
  '/api/uploads/:id': { PUT: link(putUpload), DELETE: uploader(abortUpload) },
  '/api/uploads/:id/parts': { POST: uploader(mintUploadParts) },
  '/api/uploads/:id/complete': { POST: uploader(completeUpload) },
  '/api/parts/:number': { PUT: link(putPart) },
  '/api/feed': { GET: feedViewer(watchFeed) },
  '/api/feed/tokens': { POST: owner('read', makeFeedToken) },
  '/api/jobs': { GET: owner('read', listJobs), POST: owner('create', createJob) },
  '/api/jobs/:id': { GET: viewer('watch', showJob), DELETE: owner('delete', deleteJob) },
  '/api/jobs/:id/tokens': { POST: owner('read', makeViewerToken) },
  '/api/jobs/:id/cancel': { POST: viewer('cancel', cancelJob) },
  '/api/jobs/:id/retry': { POST: owner('create', retryJob) },
  '/api/jobs/:id/events': { GET: owner('read', listEvents) },
  '/api/jobs/:id/ws': { GET: viewer('watch', watchJob) },
  '/api/jobs/:id/stream': { GET: viewer('watch', streamJob) },
  '/api/jobs/:id/renderer': { GET: renderer(connectRenderer) },
  '/api/jobs/:id/source': { GET: renderer(readSource) },
  '/api/jobs/:id/output/:epoch': { PUT: renderer(writeOutput), POST: renderer(beginOutput) },
  '/api/jobs/:id/output/:epoch/parts': { POST: renderer(mintOutputParts) },
  '/api/jobs/:id/output/:epoch/complete': { POST: renderer(completeOutput) },
  '/api/jobs/:id/do/status': { GET: owner('read', jobStatus) },
  '/api/jobs/:id/do/:name{(?:init|claim|progress|complete|error)}': {
    POST: rendererOrHand(callJob),
  },
  '/api/hooks/runpod/:id': { POST: link(hearRunPod) },
  '/api/videos/download/:key': { GET: link(downloadVideo) },
};

export const app = new Hono<{ Bindings: Env }>();

const EXPOSED = [
  'content-disposition',
  'content-length',
  'content-range',
  'etag',
  'location',
  'retry-after',
];

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
  for (const [method, { enter }] of Object.entries(methods)) app.on(method, path, enter);
  const allow = Object.keys(methods).join(', ');
  app.all(path, () => refuse('method_not_allowed', {}, { allow }));
}

app.notFound(() => refuse('not_found'));

app.onError((error, c) => {
  if (error instanceof Refusal) return refuse(error.code, error.extra, error.headers);
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
