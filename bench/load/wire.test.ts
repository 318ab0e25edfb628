import { describe, expect, it } from 'vitest';
import { FrameReader, textFrame } from './client/frames.ts';
import { wholeBody } from './client/http-lane.ts';
import { percentile } from './client/percentile.ts';
import { Witness } from './client/witness.ts';

/** A text as a server frames it. */
function served(text: string): Buffer {
  const { length } = text;
  const head = length < 126 ? [0x81, length] : [0x81, 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), Buffer.from(text)]);
}

describe('FrameReader', () => {
  it('finds the same messages wherever the stream is cut', () => {
    const texts = ['a', 'b'.repeat(125), 'c'.repeat(126), '', 'd'.repeat(70_000 % 65_536)];
    const stream = Buffer.concat(texts.map(served));
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const heard: string[] = [];
      const reader = new FrameReader((text) => heard.push(text));
      reader.feed(stream.subarray(0, cut));
      reader.feed(stream.subarray(cut));
      expect(heard).toEqual(texts);
    }
  });

  it('reads a long length', () => {
    const heard: string[] = [];
    const head = Buffer.alloc(10);
    head.set([0x81, 127]);
    head.writeBigUInt64BE(70_000n, 2);
    const reader = new FrameReader((text) => heard.push(text));
    reader.feed(head.subarray(0, 5));
    reader.feed(head.subarray(5));
    reader.feed(Buffer.from('x'.repeat(70_000)));
    expect(heard).toEqual(['x'.repeat(70_000)]);
  });
});

describe('textFrame', () => {
  it('says the length in as few bytes as there may be', () => {
    expect([...textFrame('hi')]).toEqual([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]);
    expect([...textFrame('x'.repeat(300)).subarray(0, 4)]).toEqual([0x81, 0xfe, 1, 44]);
  });
});

describe('wholeBody', () => {
  it.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n', null],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{', null],
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}', '{}'],
    ['HTTP/1.1 200 OK\r\n\r\n2\r\n{}\r\n', null],
    ['HTTP/1.1 200 OK\r\n\r\n2\r\n{}\r\n0\r\n\r\n', '2\r\n{}\r\n0\r\n\r\n'],
  ])('%j', (answer, body) => {
    expect(wholeBody(answer)).toBe(body);
  });
});

describe('percentile', () => {
  it('is the nearest rank', () => {
    const sorted = Array.from({ length: 100 }, (_, n) => n + 1);
    expect([0.5, 0.95, 0.99, 1].map((share) => percentile(sorted, share))).toEqual([
      50, 95, 99, 100,
    ]);
    expect(percentile([7], 0.5)).toBe(7);
    expect(percentile([], 0.5)).toBeNull();
  });
});

describe('Witness', () => {
  const report = (seq: number, progress: number) =>
    JSON.stringify({ type: 'progress', job_id: 'j', seq, progress, message: `${seq}00` });
  const END = JSON.stringify({ type: 'error', job_id: 'j', error: 'enough' });
  const GREETING = JSON.stringify({ type: 'status', job_id: 'j', status: 'pending', progress: 0 });

  function judged(acknowledged: number, ...texts: string[]) {
    const witness = new Witness();
    const stamps = texts.map((text) => witness.hear(text));
    return { ...witness.judge(acknowledged), stamps };
  }

  it('finds nothing wrong with a whole stream, and gives the stamps of its reports', () => {
    const stream = [GREETING, report(1, 0.5), report(2, 1), END];
    expect(judged(2, ...stream)).toEqual({
      noEnd: 0,
      endedAgain: 0,
      afterEnd: 0,
      fell: 0,
      unheard: 0,
      stamps: [null, 100, 200, null],
    });
  });

  it.each([
    ['noEnd', 1, [report(1, 1)]],
    ['endedAgain', 1, [report(1, 1), END, END]],
    ['afterEnd', 1, [report(1, 1), END, GREETING]],
    ['fell', 1, [report(2, 1), report(1, 2), END]],
    ['fell', 1, [report(1, 2), report(2, 1), END]],
    ['unheard', 1, [END]],
  ] as const)('counts %s', (fault, count, stream) => {
    expect(judged(1, ...stream)[fault]).toBe(count);
  });
});
