import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { STATES, TABLE } from './expected-table.ts';

const WORKERS = join(import.meta.dirname, '..', '..');
const spec = readFileSync(join(import.meta.dirname, 'SPEC.md'), 'utf8');
const numbers = [...spec.matchAll(/^\| (I\d+b?) +\|/gm)].map(([, id = '']) => id);

/** Invariants that the names of tests cite, with the file of each. */
function citations(): Map<string, string[]> {
  const cited = new Map<string, string[]>();
  const files = readdirSync(WORKERS, { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((name) => name.endsWith('.test.ts'))) {
    const text = readFileSync(join(WORKERS, file), 'utf8');
    for (const [, name = ''] of text.matchAll(
      /\b(?:it|describe)(?:\.each[^\n]*)?\(\s*['`](.+?)['`],/g,
    )) {
      for (const [id] of name.matchAll(/\bI\d+b?\b/g)) {
        cited.set(id, [...(cited.get(id) ?? []), file]);
      }
    }
  }
  return cited;
}

describe('SPEC.md', () => {
  const cited = citations();

  it.each(numbers)('%s is enforced by a test that names it', (id) => {
    expect(cited.get(id) ?? []).not.toEqual([]);
  });

  it('shows the very table that the machine is held to', () => {
    const shown = [...spec.matchAll(/^\| `(\w+)` +\|(.+)\|$/gm)].filter(
      ([, , cells = '']) => cells.split('|').length === STATES.length,
    );
    const events = shown.map(([, event = '', cells = '']) => [
      event,
      cells.split('|').map((cell) => cell.trim()),
    ]);
    const expected = Object.keys(TABLE.none).map((event) => [
      event,
      STATES.map((state) => Object.entries(TABLE[state]).find(([name]) => name === event)?.[1]),
    ]);
    expect(events).toEqual(
      JSON.parse(JSON.stringify(expected).replaceAll(/(stop|ask):remote-1/g, '$1')),
    );
  });

  it('knows every invariant that a test names', () => {
    expect([...cited.keys()].filter((id) => !numbers.includes(id))).toEqual([]);
  });
});
