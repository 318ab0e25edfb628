import { createServer } from 'node:net';
import { UsageError, UserError } from './user-error.ts';

/** Both, because `localhost` means either: what listens on one of them would answer for us. */
const HOSTS = ['127.0.0.1', '::1'];

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  return await listenOnce(0, '127.0.0.1');
}

/** Whether a server could listen on this port of this machine. */
export async function isPortFree(port: number): Promise<boolean> {
  for (const host of HOSTS) {
    try {
      await listenOnce(port, host);
    } catch (error) {
      // A machine without IPv6 is not a taken port.
      if (!['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(codeOf(error))) return false;
    }
  }
  return true;
}

/** @throws UserError that names the port and what to do. */
export async function assertPortFree(port: number): Promise<void> {
  if (await isPortFree(port)) return;
  throw new UserError(
    `Port ${port} is taken by another program. Stop it, or choose another port: --port ${port + 1}`,
  );
}

/** Reads a `--port` argument. @throws UsageError when it is none. */
export function parsePort(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new UsageError(`--port takes a number from 1 to 65535, not "${text}"`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

async function listenOnce(port: number, host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : port;
}
