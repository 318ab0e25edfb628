import { describe, expect, it } from 'vitest';
import { Script, type Rule } from './script.ts';

const script = (rules: readonly Rule[]) => {
  const made = new Script();
  made.set(rules);
  return made;
};
const status = (status: number) => ({ fault: { status } });

describe('a script', () => {
  it('means every call that fits where it gives no number', () => {
    const rules = script([{ on: ['run', 'status'], ...status(500) }]);
    expect([rules.next('run', {}), rules.next('status', {})]).toEqual([
      { status: 500 },
      { status: 500 },
    ]);
    expect(rules.next('cancel', {})).toBeUndefined();
  });

  it('counts the calls of each rule by itself, also those that another rule had', () => {
    const rules = script([
      { on: 'job-done', nth: 1, ...status(500) },
      { on: 'job-done', nth: [2, 4], ...status(429) },
    ]);
    const seen = [1, 2, 3, 4, 5].map(() => rules.next('job-done', {})?.status);
    expect(seen).toEqual([500, 429, undefined, 429, undefined]);
  });

  it('follows the first of the rules whose turn it is', () => {
    const rules = script([
      { on: 'run', nth: 2, ...status(500) },
      { on: 'run', ...status(429) },
    ]);
    expect([1, 2, 3].map(() => rules.next('run', {})?.status)).toEqual([429, 500, 429]);
  });

  it('can be about one worker or one job, and counts only these', () => {
    const rules = script([{ on: 'job-done', nth: 1, worker: 'a', job: 'j', ...status(500) }]);
    expect(rules.next('job-done', { worker: 'b', job: 'j' })).toBeUndefined();
    expect(rules.next('job-done', { worker: 'a', job: 'k' })).toBeUndefined();
    expect(rules.next('job-done', { worker: 'a', job: 'j' })).toEqual({ status: 500 });
  });

  it('counts anew when it is set again, and forgets what was set before', () => {
    const rules = script([{ on: 'run', nth: 1, ...status(500) }]);
    rules.next('run', {});
    rules.set([{ on: 'run', nth: 1, ...status(429) }]);
    expect(rules.next('run', {})).toEqual({ status: 429 });
    rules.set([]);
    expect(rules.next('run', {})).toBeUndefined();
  });

  it.each([
    ['an unknown call', [{ on: 'runs', fault: { status: 500 } }]],
    ['an unknown word', [{ on: 'run', fault: { delay: 5 } }]],
    ['an answer to a call that is dropped', [{ on: 'run', fault: { status: 500, drop: 'call' } }]],
    ['the repeat of a call that is dropped', [{ on: 'run', fault: { drop: 'call', times: 2 } }]],
    ['a count from zero', [{ on: 'run', nth: 0, fault: { status: 500 } }]],
  ])('refuses %s, and keeps what it had', (_, wrong) => {
    const rules = script([{ on: 'run', ...status(429) }]);
    // @ts-expect-error what comes over HTTP may be anything
    expect(() => rules.set(wrong)).toThrow();
    expect(rules.next('run', {})).toEqual({ status: 429 });
  });
});
