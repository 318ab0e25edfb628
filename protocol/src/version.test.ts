import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import * as protocol from './index.ts';

/** Everything about a schema that can be said in JSON: shapes, limits, literals, defaults. */
function shapeOf(value: unknown, seen: readonly unknown[] = []): unknown {
  if (typeof value === 'function') return 'function';
  if (value instanceof RegExp) return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (seen.includes(value)) return 'cycle';
  if (Array.isArray(value)) return value.map((item) => shapeOf(item, [...seen, value]));
  return Object.entries(value)
    .filter(([name]) => !name.startsWith('~'))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inner]) => [name, shapeOf(inner, [...seen, value])]);
}

it('the wire changes only together with its version and its history', () => {
  const wire = JSON.stringify(shapeOf({ ...protocol }));
  const hash = createHash('sha256').update(wire).digest('hex').slice(0, 16);
  expect({ version: protocol.PROTOCOL_VERSION, hash }).toEqual({
    version: 7,
    hash: 'cdedda8fafc780af',
  });
});
