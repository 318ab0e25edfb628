// Responsible for how runs of the viewers' suite are shown.
import { table, whole } from '../../bench/lib/report.ts';
import { paint } from '../../scripts/lib/terminal.ts';
import { WRONGS, type Kind } from './judge.ts';
import type { Outcome, ViewersRunResult } from './run.ts';

/** Violations that are shown in full for each run. */
const SHOWN = 10;
const FAULTS: readonly (readonly [string, readonly string[]])[] = [
  ['cut', ['cut']],
  ['frozen', ['freeze', 'swallow']],
  ['blocked', ['refuse', 'unavailable']],
  ['slowed', ['delay', 'trickle']],
];

/** How many things were wrong in a run. */
export function violationsIn({ outcomes, jobs, broken }: ViewersRunResult): number {
  return sum(outcomes.map(({ violations }) => violations.length)) + jobs.length + broken.length;
}

/** One run: what did not hold, and for whom. */
export function describeRun(run: ViewersRunResult): string {
  const { seed, outcomes, jobs, broken, ends, tookMs } = run;
  const count = violationsIn(run);
  const mark = count === 0 ? paint('green', '✓') : paint('red', '✗');
  const ended = [...ends].map(([end, n]) => `${n} ${end}`).join(', ');
  const head = `${mark} seed ${seed}: ${outcomes.length} viewers, jobs ${ended}; ${seconds(tookMs)}; ${count} violations`;
  const ofViewers = outcomes.flatMap(({ spectator, violations }) =>
    violations.map(({ wrong, detail }) => `    ${spectator.name}: ${wrong}: ${detail}`),
  );
  const ofJobs = jobs.map(({ detail }) => `    job ${detail}`);
  const lines = [...broken.map((text) => `    broken: ${text}`), ...ofJobs, ...ofViewers];
  const rest = lines.length > SHOWN ? [`    and ${lines.length - SHOWN} more`] : [];
  return [head, ...lines.slice(0, SHOWN), ...rest].join('\n');
}

/** All runs together, by transport and by seed, in Markdown. */
export function describeRuns(runs: readonly ViewersRunResult[]): string {
  const outcomes = runs.flatMap((run) => run.outcomes);
  const kinds = [...new Set(outcomes.map(({ spectator }) => spectator.transport))];
  const of = (kind: Kind) => outcomes.filter(({ spectator }) => spectator.transport === kind);
  const head = [
    'watched by',
    'viewers',
    ...FAULTS.map(([name]) => name),
    'restarts met',
    'learnt the end, s: p95 · last',
    ...WRONGS,
  ];
  const rows = kinds.map((kind) => [kind, ...figuresOf(of(kind))]);
  const byKind = table(head, [...rows, ['all', ...figuresOf(outcomes)]]);
  const bySeed = table(
    ['seed', 'jobs', 'kills · deploys · evictions', 'viewers', 'sightings', 'violations', 'took'],
    runs.map(seedRow),
  );
  return `${byKind}\n\n${bySeed}`;
}

function figuresOf(outcomes: readonly Outcome[]): string[] {
  const suffered = (kinds: readonly string[]) =>
    sum(outcomes.flatMap((one) => kinds.map((kind) => one.suffered.get(kind) ?? 0)));
  const wrong = (name: string) =>
    sum(outcomes.map((one) => one.violations.filter(({ wrong }) => wrong === name).length));
  const learnt = outcomes.map(({ learntMs }) => learntMs).toSorted((a, b) => a - b);
  const p95 = learnt[Math.ceil(learnt.length * 0.95) - 1] ?? Number.NaN;
  return [
    whole(outcomes.length),
    ...FAULTS.map(([, kinds]) => whole(suffered(kinds))),
    whole(sum(outcomes.map(({ restarts }) => restarts))),
    `${bare(p95)} · ${bare(learnt.at(-1) ?? Number.NaN)}`,
    ...WRONGS.map((name) => `${wrong(name)}`),
  ];
}

function seedRow(run: ViewersRunResult): string[] {
  const { seed, ends, events, outcomes, tookMs } = run;
  const happened = (name: string) => events.get(name) ?? 0;
  const evictions = sum(['evict (hibernate)', 'evict (close)', 'evict feed'].map(happened));
  return [
    `${seed}`,
    [...ends].map(([end, n]) => `${n} ${end}`).join(' · '),
    `${happened('kill')} · ${happened('deploy')} · ${evictions}`,
    whole(outcomes.length),
    whole(sum(outcomes.map(({ spectator }) => spectator.sightings.length))),
    `${violationsIn(run)}`,
    seconds(tookMs),
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function bare(ms: number): string {
  return Number.isFinite(ms) ? (ms / 1000).toFixed(1) : 'never';
}

function seconds(ms: number): string {
  return `${bare(ms)} s`;
}
