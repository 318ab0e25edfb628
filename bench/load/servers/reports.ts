// Responsible for the two ways in which a renderer reports: by POST, and over its socket.
import { microseconds } from '../client/clock.ts';
import { HttpLane } from '../client/http-lane.ts';
import { openSocket, type Door } from '../client/socket.ts';
import type { Reporter } from './server.ts';

/** Makes the text of report `seq`, whose `message` says when it was sent. */
export type Wording = (seq: number, sentAt: string) => string;

/** Counts a job's reports, over all the connections that its renderer ever has. */
export class Reports {
  readonly #wording: Wording;
  #seq = 0;

  constructor(wording: Wording) {
    this.#wording = wording;
  }

  next(): { seq: number; text: string } {
    this.#seq += 1;
    return { seq: this.#seq, text: this.#wording(this.#seq, String(microseconds())) };
  }
}

/** Grows with each report and stays below the end, however many there are. */
export function progressOf(seq: number): number {
  return Math.round(Math.min(99, seq / 2000) * 1000) / 1000;
}

/** By POST, over kept-alive connections: as many as may be in flight, and more when the server is late. */
export function byPost(
  reports: Reports,
  window: number,
  { port, path, headers }: { port: number; path: string; headers?: readonly string[] },
): Reporter {
  const open = () => new HttpLane(port, path, headers);
  const lanes = new Set(Array.from({ length: window }, open));
  const free = [...lanes];
  return {
    async report() {
      const lane = free.pop() ?? open();
      lanes.add(lane);
      await lane.post(reports.next().text);
      free.push(lane);
    },
    close() {
      for (const lane of lanes) lane.close();
    },
  };
}

const ACK = /^\{"type":"ack","seq":(\d+)/;
const UNASKED = /^\{"type":"(?:pace|pong)"/;

/** Over one socket, on which any number may be in flight. */
export async function bySocket(reports: Reports, door: Door): Promise<Reporter> {
  const waiting = new Map<number, PromiseWithResolvers<void>>();
  const fail = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error);
  };
  const hear = (text: string): void => {
    const seq = Number(ACK.exec(text)?.[1]);
    waiting.get(seq)?.resolve();
    if (!waiting.delete(seq) && !UNASKED.test(text)) fail(new Error(`the socket said ${text}`));
  };
  const socket = await openSocket(door, hear, (error) => {
    fail(error ?? new Error('the renderer’s socket ended'));
  });
  return {
    report() {
      const { seq, text } = reports.next();
      const acknowledged = Promise.withResolvers<void>();
      waiting.set(seq, acknowledged);
      socket.say(text);
      return acknowledged.promise;
    },
    close: () => socket.close(),
  };
}
