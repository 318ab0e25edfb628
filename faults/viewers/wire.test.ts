import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Wire } from './wire.ts';

let server: Server;
let wire: Wire;
let received: string;

beforeEach(async () => {
  received = '';
  // Says back whatever it hears.
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      received += bytes.toString();
      socket.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  wire = await Wire.start({ port: portOf(server.address()), blocked: /^GET \/blocked/ });
});
afterEach(async () => {
  await wire.close();
  server.close();
});

function portOf(address: AddressInfo | string | null): number {
  if (typeof address !== 'object' || !address) throw new Error('it does not listen');
  return address.port;
}

interface Caller {
  readonly socket: Socket;
  heard: string;
}

async function call(): Promise<Caller> {
  const socket = connect(Number(new URL(wire.url).port), '127.0.0.1');
  const caller: Caller = { socket, heard: '' };
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => (caller.heard += bytes.toString()));
  await once(socket, 'connect');
  return caller;
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error('it did not come');
    await sleep(10);
  }
}

describe('the wire of a viewer', () => {
  it('carries everything whole and in its order, however the weather changes', async () => {
    const caller = await call();
    const weathers = [
      { delayMs: 0, isSlow: false },
      { delayMs: 40, isSlow: false },
      { delayMs: 0, isSlow: true },
      { delayMs: 15, isSlow: true },
    ];
    let said = '';
    for (let n = 0; n < 60; n += 1) {
      wire.weather = weathers[n % weathers.length] ?? wire.weather;
      const text = `${n}:${'x'.repeat((n * 37) % 900)};`;
      said += text;
      caller.socket.write(text);
      // A loop that is busy lets timers be late.
      for (const end = performance.now() + (n % 7); performance.now() < end;);
      await sleep(n % 5);
    }
    wire.heal();
    await until(() => caller.heard.length >= said.length);
    expect(received).toBe(said);
    expect(caller.heard).toBe(said);
  });

  it('cuts', async () => {
    const { socket } = await call();
    socket.write('a');
    await until(() => received === 'a');
    const closed = once(socket, 'close');
    expect(wire.cut()).toBe(1);
    await closed;
  });

  it('freezes what is open for ever, and lets new connections through', async () => {
    const frozen = await call();
    frozen.socket.write('a');
    await until(() => frozen.heard === 'a');
    expect(wire.freeze()).toBe(1);
    wire.heal();
    frozen.socket.write('b');
    const other = await call();
    other.socket.write('c');
    await until(() => other.heard === 'c');
    await sleep(50);
    expect([received, frozen.heard, frozen.socket.readyState]).toEqual(['ac', 'a', 'open']);
  });

  it('swallows, refuses, or answers 503 to new connections', async () => {
    wire.door = 'swallow';
    const swallowed = await call();
    swallowed.socket.write('a');
    wire.door = 'unavailable';
    const unavailable = await call();
    unavailable.socket.write('b');
    await until(() => unavailable.heard.startsWith('HTTP/1.1 503'));
    wire.door = 'refuse';
    // Whether it is reset before or after it was open is the kernel's affair.
    await Promise.allSettled([call().then(({ socket }) => once(socket, 'close'))]);
    expect([received, swallowed.heard]).toEqual(['', '']);
    expect(swallowed.socket.readyState).toBe('open');
  });

  it('lets no request through that a firewall blocks', async () => {
    const { socket } = await call();
    const closed = once(socket, 'close');
    socket.write('GET /blocked HTTP/1.1\r\n\r\n');
    await closed;
    expect(received).toBe('');
  });
});
