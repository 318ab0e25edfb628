// Responsible for the Worker under test: the real one, in workerd, with what wrangler's configuration binds to
// it, and in either mode. Its sockets are workerd's own: the proxy of `wrangler dev` answers by itself to what
// is no HTTP, and gives calls that are right the broken connections of others.
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from 'wrangler';
import { bundle } from '../bench/load/servers/bundle.ts';
import { migrationsOf } from '../bench/load/servers/migrations.ts';
import { Source } from '../bench/load/servers/source.ts';
import { descendants } from '../e2e/support/processes.ts';
import { startStandIn, type StandIn } from '../renderer/src/runpod/stand-in/index.ts';
import { secretsOf, type Secrets } from '../scripts/lib/data-dir.ts';
import { freePort } from '../scripts/lib/port.ts';
import { CONFIG } from '../scripts/lib/wrangler.ts';
import { Forge } from './forge.ts';

/** Whether credentials are asked for. */
export const MODES = ['development', 'production'] as const;
export type Mode = (typeof MODES)[number];

/** The key of the operator in production. */
export const API_KEY = 'operator-key-of-the-fuzz-'.padEnd(40, 'x');

const DAY_MS = 24 * 60 * 60_000;
/** Nothing that time does happens to a job within a run: what changes was changed by an input. */
const POLICY = Object.fromEntries(
  [
    [
      'lease_ms',
      'connected_ms',
      'manual_lease_ms',
      'start_ms',
      'unknown_ms',
      'ask_ms',
      'ask_cap_ms',
    ],
    ['attempt_ms', 'stage_ms', 'stall_ms', 'job_ms', 'retry_base_ms', 'retry_cap_ms'],
  ]
    .flat()
    .map((name) => [name, DAY_MS]),
);

/** What the Worker itself logs as an error, as opposed to the runtime. */
const OWN_ERROR = '"level":"error"';

interface Parts {
  readonly mode: Mode;
  readonly port: number;
  readonly dataDir: string;
  readonly forge: Forge;
  /** Everything that the configuration keeps secret. */
  readonly secrets: readonly string[];
  readonly miniflare: Miniflare;
  readonly standIn: StandIn;
  /** Every error that the Worker has logged. */
  readonly errors: readonly string[];
}

/** A running Worker, watched from outside. */
export class System {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Starts it, with no renderer: jobs wait, or are worked on by the run itself. */
  static async start(mode: Mode, dataDir: string): Promise<System> {
    await mkdir(dataDir, { recursive: true });
    const secrets = await secretsOf(dataDir);
    const forge = new Forge(secrets.signingKeys);
    const port = await freePort();
    const stateFile = path.join(dataDir, 'runpod.json');
    const standIn = await startStandIn({ port: 0, apiKey: secrets.runpodApiKey, stateFile });
    const errors: string[] = [];
    const variables = variablesOf(mode, { secrets, forge, port, standIn });
    const miniflare = await startWorkerd(dataDir, port, variables, (line) => errors.push(line));
    const { signingKeys, idKey, runpodApiKey } = secrets;
    const hidden = [signingKeys.split(':')[1] ?? signingKeys, idKey, runpodApiKey, API_KEY];
    return new System({ mode, port, dataDir, forge, secrets: hidden, miniflare, standIn, errors });
  }

  get mode(): Mode {
    return this.#parts.mode;
  }

  get port(): number {
    return this.#parts.port;
  }

  /** Takes what the Worker hands over. */
  get standIn(): StandIn {
    return this.#parts.standIn;
  }

  get forge(): Forge {
    return this.#parts.forge;
  }

  get secrets(): readonly string[] {
    return this.#parts.secrets;
  }

  get errors(): readonly string[] {
    return this.#parts.errors;
  }

  /** Where D1, R2 and the objects lie. */
  get state(): string {
    return stateOf(this.#parts.dataDir);
  }

  /** The processes of the runtime. */
  get pids(): number[] {
    return descendants(process.pid)
      .filter(({ program }) => program === 'workerd')
      .map(({ pid }) => pid);
  }

  /** What these processes hold in memory, bytes. */
  memory(pids: readonly number[]): number {
    return pids.reduce((sum, pid) => sum + memoryOf(pid), 0);
  }

  async close(): Promise<void> {
    await this.#parts.miniflare.dispose();
    await this.#parts.standIn.close();
  }
}

const stateOf = (dataDir: string): string => path.join(dataDir, 'state');

interface Given {
  readonly secrets: Secrets;
  readonly forge: Forge;
  readonly port: number;
  readonly standIn: StandIn;
}

function variablesOf(mode: Mode, { secrets, forge, port, standIn }: Given) {
  return {
    SIGNING_KEYS: secrets.signingKeys,
    ID_KEY: secrets.idKey,
    PUBLIC_URL: `http://127.0.0.1:${port}`,
    RUNPOD_ENDPOINT_URL: `${standIn.url}/v2/local`,
    RUNPOD_API_KEY: secrets.runpodApiKey,
    POLICY: JSON.stringify(POLICY),
    JWT_ISSUER: forge.issuer,
    SOURCE_HOSTS: `127.0.0.1:${port}`,
    ...(mode === 'production' ? { API_KEY } : { DEVELOPMENT: '1' }),
  };
}

async function startWorkerd(
  dataDir: string,
  port: number,
  bindings: Record<string, string>,
  onError: (line: string) => void,
): Promise<Miniflare> {
  const { code } = await bundle(new Source(), 'workers', 'src', 'index.ts');
  const { workerOptions } = workerOptionsOf(CONFIG);
  const { assets: _page, ...bound } = workerOptions;
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      ...bound,
      name: 'export-jobs',
      modules: [{ type: 'ESModule', path: 'worker.mjs', contents: code }],
      bindings,
      resourcePersistencePath: stateOf(dataDir),
      unsafeDirectSockets: [{ host: '127.0.0.1', port }],
      log: new Log(LogLevel.NONE),
      handleStructuredLogs: ({ message }) => {
        if (message.includes(OWN_ERROR)) onError(message);
      },
      // It would be fetched.
      cf: false,
    }),
  );
  await miniflare.ready;
  const db = await miniflare.getD1Database('DB');
  for (const sql of await migrationsOf(new Source(), 'workers')) await db.prepare(sql).run();
  return miniflare;
}

function memoryOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
