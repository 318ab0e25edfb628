// Responsible for how verdicts are shown.
import { paint } from '../scripts/lib/terminal.ts';
import type { Verdict } from './play.ts';
import type { Seen } from './wire.ts';

/** Lines of one violation that are shown. */
const SHOWN = 20;
const BODY_CHARS = 160;
const OUTPUT_LINES = 15;

/** One line; below it what does not hold, with what was expected and what was seen. */
export function describe(verdict: Verdict): string {
  const { title, name, violations, output, tookMs } = verdict;
  const mark = violations.length === 0 ? paint('green', '✓') : paint('red', '✗');
  const head = `${mark} ${name}: ${title} ${paint('dim', `${(tookMs / 1000).toFixed(1)} s`)}`;
  if (violations.length === 0) return head;
  const wrong = violations.flatMap(({ that, detail, expected, calls }) => [
    `  ${paint('red', that)}: ${detail}`,
    `    expected ${JSON.stringify(expected)}`,
    ...describeCalls(calls)
      .slice(-SHOWN)
      .map((line) => `    ${line}`),
  ]);
  const printed = output.trimEnd().split('\n').slice(-OUTPUT_LINES);
  return [head, ...wrong, '  the renderer printed:', ...printed.map((line) => `    ${line}`)].join(
    '\n',
  );
}

/** One line for calls of one kind that follow each other. */
function describeCalls(calls: readonly Seen[]): string[] {
  const kindOf = ({ side, call, worker, status }: Seen) => [side, call, worker, status].join();
  const runs: { readonly first: Seen; more: number }[] = [];
  for (const call of calls) {
    const run = runs.at(-1);
    if (run && kindOf(run.first) === kindOf(call)) run.more += 1;
    else runs.push({ first: call, more: 0 });
  }
  return runs.map(({ first, more }) => {
    const line = describeCall(first, calls[0]?.at ?? first.at);
    return more > 0 ? `${line}  … and ${more} more` : line;
  });
}

function describeCall(seen: Seen, from: number): string {
  const { side, call, worker, via, method, path, query, headers, body, status, at } = seen;
  const asked = new URLSearchParams(query).toString();
  const target = [method, asked ? `${path}?${asked}` : path].join(' ').trim();
  const parts = [
    `${String(at - from).padStart(6)} ms`,
    `${side} ${call}`,
    worker ?? '',
    via ? `by ${via}` : '',
    target,
    headers['authorization'] === undefined ? '' : `authorization: ${headers['authorization']}`,
    body === undefined ? '' : cut(JSON.stringify(body)),
    side === 'process' || side === 'notice' ? '' : `→ ${status ?? 'open'}`,
  ];
  return parts.filter(Boolean).join('  ');
}

function cut(text: string): string {
  return text.length > BODY_CHARS ? `${text.slice(0, BODY_CHARS)}…` : text;
}
