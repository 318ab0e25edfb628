// The types that the contract names, at the path that it names, and what routes and objects share.
import type { ExportJob, Problem, ProblemCode } from '@export-jobs/protocol';

export type { ExportJob, WebSocketMessage } from '@export-jobs/protocol';

/** What an object answers: a body, or a refusal that the edge turns into a problem. */
export type Answer<T extends object = object> =
  | { ok: true; body: T }
  | { ok: false; code: ProblemCode; extra?: Pick<Problem, 'detail' | 'errors'> };

/** Who calls: the renderer of an attempt, proved by its token, or a person by hand (development). */
export type Renderer = { attempt: number; bySocket?: true } | null;

/** The contract's `GET /status`. Times in epoch ms. */
export type StatusReply =
  | { status: 'not_found' }
  | {
      job: ExportJob;
      connections: number;
      last_heartbeat: number;
      /** Effects that were given up on; empty in a healthy system. */
      parked: { key: string; reason: string | null }[];
    };
