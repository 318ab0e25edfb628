import { describe, expect, it } from 'vitest';
import { cleanText, redact } from './text.ts';

describe('text from outside', () => {
  it('loses what cannot be shown and keeps the rest (S25)', () => {
    expect(cleanText('a\u0000b\r\nc\u202Ed 🎬')).toBe('a b  c d 🎬');
    expect(cleanText('\ud800x')).toBe('\ufffdx');
  });

  it('of an error holds no address, path or token, and is short', () => {
    const text =
      'GET https://r2.example/a?X-Amz-Signature=s failed; Bearer ej1.k1.abc.def; /tmp/job/in.mp4: bad';
    const safe = redact(text);
    expect(safe).not.toMatch(/r2\.example|Signature|abc\.def|\/tmp/);
    expect(safe).toContain('bad');
    expect(redact('x'.repeat(9999))).toHaveLength(300);
  });
});
