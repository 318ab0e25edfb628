// Responsible for how the figures are shown.
import { median, spread, table, whole } from '../lib/report.ts';
import { FLOOR } from './contestants.ts';
import * as figures from './figures.ts';
import { GOALS, verdict } from './goals.ts';
import { CROWDS } from './plan.ts';
import type { Results } from './results.ts';
import type { Contestant } from './servers/server.ts';
import type { Absence } from './session.ts';

interface Column {
  readonly head: string;
  readonly cell: (contestant: Contestant) => string;
}

const NONE = '–';
const NOTE = `Median (least–most) of the repeats; × is the ratio to the floor of the same repeat; of p95, p99 and
the client, medians alone. What the client took is told for each of the measures before it.`;

/** All of it, as Markdown. */
export function tables(all: readonly Contestant[], results: Results, absent: Absence): string {
  const shown = new Shown(results);
  const sections = [
    ['Reports, without a viewer', shown.rates()],
    ['From report to viewer, ms: p50 · p95 · p99', shown.latencies()],
    ['Viewers', shown.viewers()],
    ['The first answer of an object that is not in memory, ms', shown.cold()],
  ] as const;
  const parts = sections.map(([title, columns]) => {
    const rows = all.map((one) => [one.name, ...columns.map(({ cell }) => cell(one))]);
    return `${title}\n\n${table(['', ...columns.map(({ head }) => head)], rows)}`;
  });
  const missing = [...absent].map(([name, why]) => `- ${name}: ${why}`);
  return [NOTE, ...parts, goals(results), ...missing].join('\n\n');
}

class Shown {
  readonly #results: Results;

  constructor(results: Results) {
    this.#results = results;
  }

  rates(): Column[] {
    return [
      { head: 'reports/s, one job', cell: this.#ratio(figures.ONE.reports, 0) },
      { head: 'CPU µs each', cell: this.#ratio(figures.ONE.cpu, 0) },
      { head: 'reports/s, 50 jobs', cell: this.#ratio(figures.MANY.reports, 0) },
      { head: 'CPU µs each', cell: this.#ratio(figures.MANY.cpu, 0) },
      {
        head: 'client, % of a core',
        cell: this.#middles(0, figures.ONE.client, figures.MANY.client),
      },
    ];
  }

  latencies(): Column[] {
    return CROWDS.map(({ viewers }) => {
      const { p50, p95, p99 } = figures.crowd(viewers);
      const first = this.#ratio(p50, 1);
      const others = this.#middles(1, p95, p99);
      return {
        head: viewers === 1 ? '1 viewer' : `${whole(viewers)} viewers`,
        cell: (one) => `${first(one)} · ${others(one)}`,
      };
    });
  }

  viewers(): Column[] {
    const skipped = this.#sum('unheard');
    const saturated = CROWDS.filter((crowd) => crowd.saturated).map(({ viewers }) => viewers);
    const most = Math.max(...CROWDS.map(({ viewers }) => viewers));
    const clients = saturated.map((viewers) => figures.crowd(viewers).client);
    return [
      ...saturated.map((viewers) => ({
        head: `delivered/s, ${whole(viewers)} viewers`,
        cell: this.#ratio(figures.crowd(viewers).delivered, 0),
      })),
      { head: 'client, % of a core', cell: this.#middles(0, ...clients) },
      { head: 'lost or doubled', cell: this.#sum('lost') },
      { head: 'progress fell', cell: this.#sum('fell') },
      { head: 'reports skipped', cell: (one) => (one.promisesAll ? NONE : skipped(one)) },
      { head: `MB, ${whole(most)} viewers`, cell: this.#plain(figures.crowd(most).memory, 0) },
    ];
  }

  cold(): Column[] {
    return [
      { head: 'new object', cell: this.#plain(figures.COLD.fresh, 1) },
      { head: 'evicted object', cell: this.#plain(figures.COLD.evicted, 1) },
      { head: 'new process', cell: this.#plain(figures.COLD.process, 1) },
    ];
  }

  #plain(figure: string, digits: number) {
    return ({ name }: Contestant): string => {
      const found = this.#results.of(name, figure);
      return found.length === 0 ? NONE : spread(found, digits);
    };
  }

  #times(figure: string) {
    return ({ name }: Contestant): string => {
      const ratio = name === FLOOR ? null : this.#results.ratio(name, figure);
      return ratio === null ? '' : ` ×${ratio.toFixed(2)}`;
    };
  }

  #ratio(figure: string, digits: number) {
    const [plain, times] = [this.#plain(figure, digits), this.#times(figure)];
    return (one: Contestant): string => `${plain(one)}${times(one)}`;
  }

  /** Several figures of one kind, their medians alone. */
  #middles(digits: number, ...names: string[]) {
    return ({ name }: Contestant): string =>
      names
        .map((figure) => this.#results.of(name, figure))
        .map((found) => (found.length === 0 ? NONE : median(found).toFixed(digits)))
        .join(' · ');
  }

  /** Over all repeats and crowds. */
  #sum(kind: 'lost' | 'fell' | 'unheard') {
    const names = CROWDS.map(({ viewers }) => figures.crowd(viewers)[kind]);
    return ({ name }: Contestant): string => {
      const all = names.flatMap((figure) => this.#results.of(name, figure));
      return all.length === 0 ? NONE : whole(all.reduce((sum, one) => sum + one, 0));
    };
  }
}

function goals(results: Results): string {
  const rows = GOALS.map((goal) => {
    const ratio = results.ratio(goal.contestant, goal.figure);
    const measured = ratio === null ? [NONE, NONE] : [ratio.toFixed(2), verdict(goal, ratio)];
    return [goal.what, goal.contestant, `${goal.most ? '≤' : '≥'} ${goal.bound}`, ...measured];
  });
  return `Goals, relative to the floor\n\n${table(['', '', 'goal', 'measured', ''], rows)}`;
}
