// Responsible for saying what is between this machine and a working export, and what to do about it.
// The client has no call for the server's health, so this is one of two places that call `fetch`.
import { ExportApiError, ExportTransportError } from '@export-jobs/client';
import { globalsOf, noOperands, parseFlags } from '../args.ts';
import type { Command, Session } from '../command.ts';
import { connect, type Server } from '../connect.ts';
import { EXIT, exitOf } from '../exit.ts';
import { failureOf } from '../failure.ts';
import { clean, formatDuration } from '../text.ts';

/** One thing that was looked at. */
export interface Finding {
  readonly what: 'server' | 'clock' | 'credentials';
  /** `bad` is in the way; `poor` is something that one may live with. */
  readonly state: 'good' | 'poor' | 'bad';
  /** What was found and, unless that is good, what to do. */
  readonly text: string;
  /** How the command ends when this is the worst. */
  readonly exit: number;
}

const TIMEOUT_MS = 5000;
/** HTTP tells the time in whole seconds, and an answer takes its time. */
const MAX_SKEW_MS = 30_000;

export const doctor: Command = {
  usage: 'doctor',
  summary: 'says whether the server can be used from here, and what to do if not',
  help: '',
  parse(args, env) {
    const { values, positionals } = parseFlags(args, {});
    noOperands(positionals);
    return { globals: globalsOf(values, env), run };
  },
};

async function run(session: Session): Promise<number> {
  const { paint, globals } = session;
  const marks = { good: paint('green', '✓'), poor: paint('yellow', '!'), bad: paint('red', '✗') };
  let exit: number = EXIT.done;
  const tell = (finding: Finding) => {
    const { what, state, text } = finding;
    session.result(`${marks[state]} ${what.padEnd(11)}  ${clean(text)}`, finding);
    if (state === 'bad' && exit === EXIT.done) exit = finding.exit;
  };
  const health = await askHealth(globals.server, session.io.signal);
  const server = judgeServer(globals.server.url, health);
  tell(server);
  if (health.kind === 'none') return exit;
  tell(judgeClock(health));
  if (server.state !== 'bad') tell(await checkCredentials(globals.server, isDevelopment(health)));
  return exit;
}

/** What came back from `/healthz`. */
export type Health =
  | { readonly kind: 'none'; readonly error: string }
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly body: unknown;
      /** By the server's clock, or null when it does not say. */
      readonly theirs: number | null;
      /** By this one, in the middle of the exchange. */
      readonly ours: number;
    };

async function askHealth({ url, token }: Server, stop: AbortSignal): Promise<Health> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]);
  const from = Date.now();
  try {
    const response = await fetch(`${url}/healthz`, { signal });
    const ours = (from + Date.now()) / 2;
    const theirs = Date.parse(response.headers.get('date') ?? '');
    const body: unknown = await response.json().catch(() => null);
    const told = Number.isNaN(theirs) ? null : theirs;
    return { kind: 'answer', status: response.status, body, theirs: told, ours };
  } catch (error) {
    if (stop.aborted) throw stop.reason;
    const lost = new ExportTransportError('no answer', { cause: error });
    return { kind: 'none', error: failureOf(lost, url, token).error };
  }
}

/** Whether our server answers, and well. */
export function judgeServer(url: string, health: Health): Finding {
  const what = 'server';
  const bad = { what, state: 'bad', exit: EXIT.unreachable } as const;
  if (health.kind === 'none') {
    const text = `${health.error} Is it running, and is --url right?`;
    return { ...bad, text };
  }
  const { status, body } = health;
  if (fieldOf(body, 'service') === 'export-jobs') {
    const mode = isDevelopment(health) ? ', in development mode' : '';
    return { what, state: 'good', text: `${url} answers${mode}`, exit: EXIT.done };
  }
  if (fieldOf(body, 'code') === 'not_configured') {
    const detail = fieldOf(body, 'detail');
    const missing = typeof detail === 'string' ? detail : 'it does not say what is missing';
    return { ...bad, text: `${url} is not configured: ${missing}. Set that and deploy again.` };
  }
  if (status >= 500) {
    return { ...bad, text: `${url} answers ${status}. Look into the server's log, or try later.` };
  }
  return { ...bad, text: `Another program answers at ${url} (${status}). Is --url right?` };
}

/** Whether times that the server tells make sense here. */
export function judgeClock({ theirs, ours }: Extract<Health, { kind: 'answer' }>): Finding {
  const what = 'clock';
  if (theirs === null) {
    const text = 'not compared: the server does not tell the time';
    return { what, state: 'good', text, exit: EXIT.done };
  }
  // The server's time was cut to whole seconds.
  const skew = ours - (theirs + 500);
  if (Math.abs(skew) <= MAX_SKEW_MS) {
    return { what, state: 'good', text: "agrees with the server's", exit: EXIT.done };
  }
  const side = skew > 0 ? 'ahead of' : 'behind';
  const text = `${formatDuration(Math.abs(skew))} ${side} the server's. Times and links will be judged wrongly: let the system set its clock.`;
  return { what, state: 'poor', text, exit: EXIT.done };
}

async function checkCredentials(server: Server, isOpen: boolean): Promise<Finding> {
  const what = 'credentials';
  const client = connect(server, { timing: { request: TIMEOUT_MS, retries: 0 } });
  try {
    await client.listExports({ limit: 1 });
    return judgeAccepted(server, isOpen);
  } catch (error) {
    const exit = exitOf(error);
    if (!(error instanceof ExportApiError && exit === EXIT.refused)) {
      const { error: why } = failureOf(error, server.url, server.token);
      return { what, state: 'bad', text: `could not be tried: ${why} Try again.`, exit };
    }
    const advice =
      server.token === null
        ? "none given: set EXPORT_JOBS_TOKEN to the server's API_KEY"
        : "not accepted: EXPORT_JOBS_TOKEN or --token must be the server's API_KEY";
    return { what, state: 'bad', text: advice, exit };
  }
}

/** Credentials that were accepted may still be on their way in the open. */
export function judgeAccepted({ url, token }: Server, isOpen: boolean): Finding {
  const found = { what: 'credentials', exit: EXIT.done } as const;
  const { protocol, hostname } = new URL(url);
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
  if (token !== null && protocol === 'http:' && !isLocal) {
    const text = 'accepted, but everyone on the way can read them: use https in --url';
    return { ...found, state: 'poor', text };
  }
  const text = isOpen ? 'none needed in development mode' : 'accepted';
  return { ...found, state: 'good', text };
}

function isDevelopment(health: Health): boolean {
  return health.kind === 'answer' && fieldOf(health.body, 'development') === true;
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}
