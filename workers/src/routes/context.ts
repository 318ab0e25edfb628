import type { Context } from 'hono';
import type { Env } from '../lib/env.ts';

/** What every route is given. */
export type Ctx = Context<{ Bindings: Env }>;
