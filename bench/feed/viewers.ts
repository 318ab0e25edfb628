// The process that holds the viewers: apart from who tells the feed, so that neither waits for the other's turn.
import { microseconds } from '../load/client/clock.ts';
import { percentile } from '../load/client/percentile.ts';
import { openSocket } from '../load/client/socket.ts';
import { obeyParent } from '../load/parent.ts';
import { Command } from './calls.ts';
import type { Reading } from './calls.ts';

/** So many connections are opened at once; more would only wait in the server's queue. */
const OPENING = 50;
/** When each report was sent. Read by search, so that the viewers are not what is measured. */
const SENT_AT = /"message":"(\d+)"/g;

let [frames, reports] = [0, 0];
let delays: number[] = [];
let since = microseconds();

obeyParent(Command, obey);

async function obey(command: Command): Promise<Reading> {
  if (command.do === 'open') {
    const { viewers, ...door } = command;
    for (let from = 0; from < viewers; from += OPENING) {
      const some = Array.from({ length: Math.min(OPENING, viewers - from) }, () =>
        openSocket({ ...door, protocols: [] }, hear),
      );
      await Promise.all(some);
    }
  }
  const sorted = Float64Array.from(delays).toSorted();
  const reading = {
    frames,
    reports,
    seconds: (microseconds() - since) / 1e6,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
  };
  [frames, reports, delays, since] = [0, 0, [], microseconds()];
  return reading;
}

function hear(text: string): void {
  frames += 1;
  const now = microseconds();
  for (const [, sentAt] of text.matchAll(SENT_AT)) {
    reports += 1;
    // One in ten is enough, and memory is not without end.
    if (reports % 10 === 0) delays.push((now - Number(sentAt)) / 1000);
  }
}
