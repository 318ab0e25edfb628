// The process that holds the viewers of one job at a time: apart from the reporter, so that neither waits
// for the other's turn. Ends with whoever started it.
import { microseconds } from '../client/clock.ts';
import { percentile } from '../client/percentile.ts';
import { openSocket, type Door, type OpenSocket } from '../client/socket.ts';
import { Command, type Reading } from '../client/viewer-calls.ts';
import { noFaults, Witness, type Tally } from '../client/witness.ts';
import { obeyParent } from '../parent.ts';

/** So many connections are opened at once; more would only wait in the server's queue. */
const OPENING = 50;

let sockets: OpenSocket[] = [];
let witnesses: Witness[] = [];
let ended = 0;
let messages = 0;
let isTimed = false;
let delays: number[] = [];
let mark = { at: microseconds(), cpu: process.cpuUsage() };

obeyParent(Command, obey);

async function obey(command: Command): Promise<object> {
  switch (command.do) {
    case 'open':
      await open(command.door, command.viewers);
      break;
    case 'mark':
      isTimed = command.timed;
      [messages, delays] = [0, []];
      mark = { at: microseconds(), cpu: process.cpuUsage() };
      break;
    case 'read':
      return read();
    case 'judge':
      return await judge(command.acknowledged, command.patienceMs);
    case 'close':
      for (const socket of sockets) socket.close();
      [sockets, witnesses, ended] = [[], [], 0];
      break;
  }
  return { done: true };
}

async function open(door: Door, viewers: number): Promise<void> {
  witnesses = Array.from({ length: viewers }, () => new Witness());
  for (let from = 0; from < viewers; from += OPENING) {
    const some = witnesses.slice(from, from + OPENING);
    const opened = some.map((witness) => openSocket(door, (text) => hear(witness, text)));
    sockets.push(...(await Promise.all(opened)));
  }
}

function hear(witness: Witness, text: string): void {
  const hadEnded = witness.hasEnded;
  const sentAt = witness.hear(text);
  if (!hadEnded && witness.hasEnded) ended += 1;
  if (sentAt === null) return;
  messages += 1;
  if (isTimed) delays.push((microseconds() - sentAt) / 1000);
}

function read(): Reading {
  const cpu = process.cpuUsage(mark.cpu);
  const sorted = Float64Array.from(delays).toSorted();
  return {
    messages,
    seconds: (microseconds() - mark.at) / 1e6,
    cpu: (cpu.user + cpu.system) / 1e6,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
  };
}

async function judge(acknowledged: number, patienceMs: number): Promise<Tally> {
  const deadline = microseconds() + patienceMs * 1000;
  while (ended < witnesses.length && microseconds() < deadline) await pause(20);
  // An end that came twice, or something after it, would be on its way now.
  await pause(100);
  const sum = noFaults();
  for (const witness of witnesses) {
    const tally = witness.judge(acknowledged);
    sum.noEnd += tally.noEnd;
    sum.endedAgain += tally.endedAgain;
    sum.afterEnd += tally.afterEnd;
    sum.fell += tally.fell;
    sum.unheard += tally.unheard;
  }
  return sum;
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
