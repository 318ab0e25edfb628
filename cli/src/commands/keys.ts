import { globalsOf, noOperands, onlyOperand, parseFlags } from '../args.ts';
import type { Command, Session } from '../command.ts';
import { EXIT, UsageError } from '../exit.ts';
import { numberOf } from '../export-flags.ts';
import { callServer, keyIn, keysIn, textIn } from '../operator.ts';
import type { ApiKey } from '../operator.ts';
import { clean, formatTime } from '../text.ts';

const DAY_MS = 24 * 60 * 60_000;

const FLAGS = {
  name: { type: 'string' },
  tenant: { type: 'string' },
  rights: { type: 'string' },
  plan: { type: 'string' },
  days: { type: 'string' },
} as const;
type Values = ReturnType<typeof parseFlags<typeof FLAGS>>['values'];

export const keys: Command = {
  usage: 'keys create | list | revoke ID',
  summary: 'makes, lists and revokes API keys',
  help: `  create                 makes a key and prints it, this once
    --name NAME          what it is for
    --tenant TENANT      whose exports it is for (its maker's; the operator's key may name any)
    --rights LIST        create, read, cancel, delete, admin, with commas (all but admin)
    --plan PLAN          whose limits it has
    --days N             how long it is valid (until it is revoked)
  list                   shows keys, never what they are
    --tenant TENANT
  revoke ID              ends a key for good, everywhere within half a minute`,
  parse(args, env) {
    const { values, positionals } = parseFlags(args, FLAGS);
    const [verb, ...rest] = positionals;
    return { globals: globalsOf(values, env), run: runOf(verb, rest, values) };
  },
};

function runOf(verb: string | undefined, rest: readonly string[], values: Values) {
  switch (verb) {
    case 'create': {
      noOperands(rest);
      const body = bodyOf(values);
      return (session: Session) => create(session, body);
    }
    case 'list':
      noOperands(rest);
      return (session: Session) => list(session, values.tenant);
    case 'revoke': {
      const id = idIn(onlyOperand('the id of the key', rest));
      return (session: Session) => revoke(session, id);
    }
    case undefined:
    default:
      throw new UsageError('keys create, keys list or keys revoke ID');
  }
}

/** The id in what somebody has at hand: the id, the beginning of the key, or the whole, which nobody is told. */
export function idIn(text: string): string {
  return /^(?:ejk_)?([0-9a-z]{12})(?:_|$)/.exec(text)?.[1] ?? text;
}

/** What the server is asked for; it judges all that has no flag-like form. */
function bodyOf({ name, tenant, rights, plan, days: text }: Values): object {
  if (name === undefined) throw new UsageError('--name is missing: what is the key for?');
  const days = numberOf('days', text);
  return {
    name,
    ...(tenant !== undefined && { tenant }),
    ...(rights !== undefined && { rights: rights.split(',').map((one) => one.trim()) }),
    ...(plan !== undefined && { plan }),
    ...(days !== undefined && { expires_at: Date.now() + Math.round(days * DAY_MS) }),
  };
}

async function create(session: Session, body: object): Promise<number> {
  const { globals, io } = session;
  const answer = await callServer(globals.server, ['POST', '/api/keys'], io.signal, body);
  const key = keyIn(answer);
  const secret = textIn(answer, 'secret');
  session.note(`The key ${key.id} of ${key.tenant}. It is shown this once:`);
  session.result(secret, { key, secret });
  return EXIT.done;
}

async function list(session: Session, tenant: string | undefined): Promise<number> {
  const { globals, io } = session;
  const query = tenant === undefined ? '' : `?tenant=${encodeURIComponent(tenant)}`;
  const answer = await callServer(globals.server, ['GET', `/api/keys${query}`], io.signal);
  for (const key of keysIn(answer)) session.result(rowOf(key, Date.now()), key);
  return EXIT.done;
}

async function revoke(session: Session, id: string): Promise<number> {
  const { globals, io } = session;
  const path = `/api/keys/${encodeURIComponent(id)}`;
  const key = keyIn(await callServer(globals.server, ['DELETE', path], io.signal));
  session.result(`${key.id} revoked`, key);
  return EXIT.done;
}

/** A key in one line. */
export function rowOf(key: ApiKey, now: number): string {
  const state =
    key.revoked_at !== null
      ? 'revoked'
      : key.expires_at !== null && key.expires_at <= now
        ? 'expired'
        : 'valid';
  const used = key.last_used_at === null ? 'never used' : `used ${formatTime(key.last_used_at)}`;
  const parts = [key.prefix, state.padEnd(7), key.tenant, key.rights.join(','), used, key.name];
  return clean(parts.join('  '));
}
