// What this project wants of itself, relative to the floor.
import { whole } from '../lib/report.ts';
import { BY_POST, BY_SOCKET } from './contestants.ts';
import * as figures from './figures.ts';

export interface Goal {
  readonly what: string;
  readonly contestant: string;
  readonly figure: string;
  /** The ratio must be at least, or at most, this. */
  readonly bound: number;
  readonly most: boolean;
}

export const GOALS: readonly Goal[] = [
  atLeast('reports/s, one job', BY_POST, figures.ONE.reports, 0.8),
  atLeast('reports/s, one job', BY_SOCKET, figures.ONE.reports, 1.6),
  atLeast('reports/s, 50 jobs', BY_POST, figures.MANY.reports, 0.8),
  atLeast('reports/s, 50 jobs', BY_SOCKET, figures.MANY.reports, 2.5),
  atMost('CPU per report, one job', BY_POST, figures.ONE.cpu, 1.3),
  atMost('CPU per report, one job', BY_SOCKET, figures.ONE.cpu, 0.4),
  atMost('CPU per report, 50 jobs', BY_POST, figures.MANY.cpu, 1.3),
  atMost('CPU per report, 50 jobs', BY_SOCKET, figures.MANY.cpu, 0.4),
  ...[100, 1000].flatMap((viewers) => [
    atMost(`latency, ${whole(viewers)} viewers`, BY_POST, figures.crowd(viewers).p50, 1.2),
    atMost(`latency, ${whole(viewers)} viewers`, BY_SOCKET, figures.crowd(viewers).p50, 1.2),
    atLeast(
      `delivered/s, ${whole(viewers)} viewers`,
      BY_POST,
      figures.crowd(viewers).delivered,
      0.95,
    ),
    atLeast(
      `delivered/s, ${whole(viewers)} viewers`,
      BY_SOCKET,
      figures.crowd(viewers).delivered,
      0.95,
    ),
  ]),
];

/** Whether a goal is met, or by how much not. */
export function verdict({ bound, most }: Goal, ratio: number): string {
  if (most ? ratio <= bound : ratio >= bound) return 'met';
  return `missed by ${(Math.abs(ratio / bound - 1) * 100).toFixed(0)} %`;
}

function atLeast(what: string, contestant: string, figure: string, bound: number): Goal {
  return { what, contestant, figure, bound, most: false };
}

function atMost(what: string, contestant: string, figure: string, bound: number): Goal {
  return { what, contestant, figure, bound, most: true };
}
