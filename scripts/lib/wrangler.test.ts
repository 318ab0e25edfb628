import { describe, expect, it } from 'vitest';
import { leaksIn } from './leaks.ts';
import { worthShowing } from './wrangler.ts';

const TOKEN = `ej1.k1.${'a'.repeat(60)}.${'a'.repeat(60)}`;

describe('what is kept of what wrangler prints', () => {
  it.each([
    `http://localhost:1/api/parts/7?token=${TOKEN}`,
    `http://localhost:1/cdn-cgi/local/r2/s3/b/k?x=1&X-Amz-Signature=${'0'.repeat(64)}`,
  ])('is the address of a cut call without what may be used: %s', (address) => {
    const line = `Error inside ProxyWorker (the request failed): PUT ${address}: Network connection lost.`;
    expect(leaksIn(line)).toHaveLength(1);
    expect(worthShowing(line)).toMatch(/PUT http:\S+\?… Network connection lost\.$/);
  });

  it('is a line of the Worker as it is, so that a secret in it is found', () => {
    const line = `{"level":"error","url":"/api/parts/7?token=${TOKEN}"}`;
    expect(worthShowing(line)).toBe(line);
  });

  it('is nothing of a question whether it lives', () => {
    expect(worthShowing('[wrangler:info] GET /healthz 200 OK (1ms)')).toBeNull();
  });
});
