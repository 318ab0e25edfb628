import { describe, expect, it } from 'vitest';
import { redact } from './redact.ts';

describe('what is told of an error', () => {
  it('holds no address, token or path', () => {
    const text = redact(
      new Error(
        'GET https://x.example/a?sig=1 failed for Bearer ej1.k1.abc.def in /tmp/x-1/input',
        {
          cause: new Error('connect to http://10.0.0.1:80/'),
        },
      ),
    );
    expect(text).toBe('GET <url> failed for Bearer <token> in <path> (connect to <url>');
  });

  it('keeps what helps', () => {
    expect(redact(new Error('planned h264 2x2, 3 frames'))).toBe('planned h264 2x2, 3 frames');
    expect(redact('ffmpeg ended with 1: Conversion failed!')).toContain('Conversion failed!');
  });
});
