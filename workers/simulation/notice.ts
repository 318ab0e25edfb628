import * as v from 'valibot';
import type { Answer } from '../src/lib/types.ts';

/** What a notice of the object says to a call, as the same POST would have been answered. */
export function answerIn(type: string, more: Readonly<Record<string, unknown>>): Answer {
  if (type === 'ack') return { ok: true, body: more };
  const { code } = v.parse(v.looseObject({ code: v.string() }), more['problem']);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a code that the object has just sent
  return { ok: false, code: code as Extract<Answer, { ok: false }>['code'] };
}
