import { describe, expect, it } from 'vitest';
import { FrameReader } from './frames.ts';

/** One text as a frame, masked as a client must. */
function frame(text: string, mask: readonly number[] | null): Buffer {
  const payload = Buffer.from(text);
  const length = payload.length;
  const head = length < 126 ? [length] : [126, length >> 8, length & 0xff];
  const [short = 0, ...more] = head;
  const bits = mask ? 0x80 : 0;
  const masked = payload.map((byte, i) => byte ^ (mask?.[i % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x81, short | bits, ...more, ...(mask ?? [])]), masked]);
}

function textsOf(chunks: readonly Buffer[]): string[] {
  const texts: string[] = [];
  const reader = new FrameReader((text) => texts.push(text));
  for (const chunk of chunks) reader.push(chunk);
  return texts;
}

describe('reading along on a WebSocket', () => {
  const long = 'x'.repeat(300);

  it('finds the texts of both directions, short and long', () => {
    expect(textsOf([frame('a', null), frame(long, [1, 2, 3, 4])])).toEqual(['a', long]);
  });

  it('waits for the rest of a frame, and takes several at once', () => {
    const bytes = Buffer.concat([frame('one', [9, 8, 7, 6]), frame(long, null), frame('', null)]);
    for (const at of [1, 3, 9, 12, 200]) {
      expect(textsOf([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(['one', long, '']);
    }
  });

  it('passes over what is no text', () => {
    expect(textsOf([Buffer.from([0x89, 0x00]), frame('a', null)])).toEqual(['a']);
  });
});
