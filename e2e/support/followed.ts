// What a client shows of one job, and whether that is the whole truth in its order.
import {
  isTerminal,
  JOB_STATUSES,
  WebSocketMessage,
  type JobMessage,
  type JobStatus,
} from '@export-jobs/protocol';
import * as v from 'valibot';

const Message = v.pipe(v.string(), v.parseJson(), WebSocketMessage);

/** Everything that a client was told, connection by connection. */
export class Followed {
  readonly connections: JobMessage[][] = [];
  /** How many pings were answered. */
  pongs = 0;

  /** A connection is open. */
  opened(): void {
    this.connections.push([]);
  }

  /** A message came. @throws when it is none of the protocol. */
  heard(text: string): void {
    const message = v.parse(Message, text);
    if (message.type === 'pong') this.pongs += 1;
    else this.connections.at(-1)?.push(message);
  }

  get last(): JobMessage | undefined {
    return this.connections.flat().at(-1);
  }

  get isOver(): boolean {
    return this.last?.type === 'complete' || this.last?.type === 'error';
  }
}

/** A change of state as the job's own log has it. */
export interface Change {
  readonly seq: number;
  readonly status: JobStatus;
}

const Entry = v.object({ seq: v.number(), view: v.object({ status: v.picklist(JOB_STATUSES) }) });
const Line = v.pipe(v.string(), v.parseJson(), Entry);

/** Every change of a job, from `GET /api/jobs/{id}/events`. */
export async function changesOf(base: string, id: string, apiKey?: string): Promise<Change[]> {
  const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  const response = await fetch(`${base}/api/jobs/${id}/events`, { headers });
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  return lines
    .map((line) => v.parse(Line, line))
    .map(({ seq, view: { status } }) => ({ seq, status }));
}

/** The states that were shown, one after the other. */
export function statesIn(connections: readonly (readonly JobMessage[])[]): JobStatus[] {
  const shown = connections
    .flat()
    .flatMap((message) => ('job' in message ? [message.job.status] : []));
  return shown.filter((status, n) => status !== shown[n - 1]);
}

/**
 * What is wrong with what was told of a job to its end; nothing when each connection began with the whole
 * job, numbers never fell, no change since the first was left out, and the end came last.
 */
export function faultsIn(
  connections: readonly (readonly JobMessage[])[],
  changes: readonly Change[],
): string[] {
  const heard = connections.flat();
  const jobs = heard.flatMap((message) => ('job' in message ? [message.job] : []));
  const isTold = ({ seq, status }: Change) =>
    seq < (heard[0]?.seq ?? 0) || jobs.some((job) => job.seq === seq && job.status === status);
  const last = heard.at(-1);
  const end = changes.at(-1);
  const isEnd = last?.type === 'complete' || last?.type === 'error';
  const ended = heard.findIndex((message) => 'job' in message && isTerminal(message.job.status));
  return [
    ...connections.flatMap(([first], n) =>
      first && !('job' in first) ? [`connection ${n} begins with ${first.type}`] : [],
    ),
    ...heard.flatMap(({ seq }, n) => {
      const before = heard[n - 1]?.seq ?? 0;
      return seq < before ? [`${seq} comes after ${before}`] : [];
    }),
    ...changes.flatMap((change) => (isTold(change) ? [] : [`${change.seq} is missing`])),
    ...(isEnd && last.seq === end?.seq ? [] : [`the last one is ${last?.type} ${last?.seq}`]),
    ...heard.slice(ended).flatMap(({ seq, type }) => {
      return ended < 0 || seq === end?.seq ? [] : [`${type} ${seq} comes after the end`];
    }),
  ];
}
