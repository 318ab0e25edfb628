import { describe, expect, it } from 'vitest';
import { judgeAccepted, judgeClock, judgeServer, type Health } from './commands/doctor.ts';

const url = 'http://s';
const answer = (body: unknown, status = 200): Health => ({
  kind: 'answer',
  status,
  body,
  theirs: null,
  ours: 0,
});

describe('the doctor', () => {
  it.each([
    [answer({ ok: true, service: 'export-jobs', development: true }), 'good', 'development'],
    [{ kind: 'none', error: 'Not there.' } satisfies Health, 'bad', 'Is it running'],
    [answer({ hello: 'world' }), 'bad', 'Another program'],
    [answer(null, 404), 'bad', 'Another program'],
    [answer({ code: 'not_configured', detail: 'API_KEY' }, 503), 'bad', 'API_KEY'],
    [answer(null, 502), 'bad', '502'],
  ])('of the answer %j finds the server %s', (health, state, word) => {
    const finding = judgeServer(url, health);
    expect(finding.state).toBe(state);
    expect(finding.text).toContain(word);
    expect(finding.exit).toBe(state === 'good' ? 0 : 6);
  });

  it.each([
    [0, 'good', 'agrees'],
    [-20_000, 'good', 'agrees'],
    [600_000, 'poor', '10:00 ahead of'],
    [-600_000, 'poor', 'behind'],
  ])('of a clock that is %d ms ahead finds it %s', (skew, state, word) => {
    const health = {
      kind: 'answer',
      status: 200,
      body: null,
      theirs: 1e12,
      ours: 1e12 + skew + 500,
    };
    const finding = judgeClock({ ...health, kind: 'answer' });
    expect(finding.state).toBe(state);
    expect(finding.text).toContain(word);
  });

  it('warns of credentials that others can read on their way', () => {
    const token = 'secret';
    expect(judgeAccepted({ url: 'http://far.example', token }, false).state).toBe('poor');
    expect(judgeAccepted({ url: 'https://far.example', token }, false).state).toBe('good');
    expect(judgeAccepted({ url: 'http://localhost:8787', token }, false).state).toBe('good');
    expect(judgeAccepted({ url: 'http://far.example', token: null }, true).state).toBe('good');
  });
});
