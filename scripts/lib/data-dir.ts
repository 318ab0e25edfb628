// Responsible for the folder that a local stack keeps its state in: who may use it, and the secrets
// that live in it. Must not start anything.
import { randomBytes, createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { inRoot } from './paths.ts';

/** Where `npm start` and `npm run dev` keep jobs, files and logs, unless EXPORT_JOBS_DATA says so. */
export const DEFAULT_DATA_DIR = path.resolve(process.env['EXPORT_JOBS_DATA'] ?? inRoot('.data'));

const Holder = v.object({ pid: v.number(), url: v.string() });
/** The process that uses a data folder, and where its stack is served. */
export type Holder = v.InferOutput<typeof Holder>;

const Secrets = v.object({ signingKeys: v.string(), idKey: v.string(), runpodApiKey: v.string() });
export type Secrets = v.InferOutput<typeof Secrets>;

/** Longest path that every platform takes for a socket, bytes. */
const MAX_SOCKET_PATH = 100;

/** Who uses a data folder now, or null. */
export async function holderOf(dataDir: string): Promise<Holder | null> {
  const socket = connect(socketPath(dataDir));
  let text = '';
  return await new Promise((resolve) => {
    socket.setTimeout(2000, () => socket.destroy());
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.once('error', () => resolve(null));
    socket.once('close', () => resolve(parse(Holder, text)));
  });
}

/**
 * Takes a data folder for this process. The claim is an open socket, which the system closes
 * however the process ends.
 * @returns gives the folder back; or the holder, when somebody else has it.
 */
export async function claim(
  dataDir: string,
  url: string,
): Promise<{ release: () => Promise<void> } | Holder> {
  await mkdir(dataDir, { recursive: true });
  const holder = await holderOf(dataDir);
  if (holder) return holder;
  const file = socketPath(dataDir);
  await rm(file, { force: true });
  const server = createServer((socket) => {
    socket.once('error', () => undefined);
    socket.end(JSON.stringify({ pid: process.pid, url } satisfies Holder));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(file, resolve);
  });
  server.unref();
  return { release: async () => await new Promise((resolve) => server.close(() => resolve())) };
}

/** The folder's own random secrets, made on first use and kept, so that links outlive a restart. */
export async function secretsOf(dataDir: string): Promise<Secrets> {
  const file = path.join(dataDir, 'secrets.json');
  const known = existsSync(file) ? parse(Secrets, await readFile(file, 'utf8')) : null;
  if (known) return known;
  const made: Secrets = {
    signingKeys: `k1:${randomBytes(32).toString('hex')}`,
    idKey: randomBytes(32).toString('hex'),
    runpodApiKey: randomBytes(24).toString('hex'),
  };
  await writeFile(file, JSON.stringify(made), { mode: 0o600 });
  return made;
}

function socketPath(dataDir: string): string {
  const beside = path.join(dataDir, 'stack.sock');
  if (Buffer.byteLength(beside) <= MAX_SOCKET_PATH) return beside;
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  return path.join(tmpdir(), `export-jobs-${name}.sock`);
}

function parse<S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> | null {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
  return result.success ? result.output : null;
}
