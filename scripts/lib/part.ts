// Responsible for one process of the local stack: that it runs, answers, is started again when it
// does not, and never outlives us. Must not know what the process does.
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export interface PartOptions {
  readonly name: string;
  /** Arguments of this very Node. */
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Gets what it prints, at the end. */
  readonly logFile: string;
  /** Gets each line that it prints, and gives what of it goes to the log; null is nothing. */
  readonly onLine?: (line: string) => string | null;
  /** Says what happens to it, one sentence at a time. */
  readonly say: (text: string) => void;
  /** Whether it answers, asked once a second. Must settle by itself. */
  readonly answers?: () => Promise<boolean>;
  /** A line that says that it is in trouble: after it, less silence counts as a hang. */
  readonly distress?: RegExp;
}

const PROBE_MS = 1000;
/** Silence that counts as a hang: in general, and once it has cried for help, ms. */
const SILENCE_MS = 60_000;
const SILENCE_IN_DISTRESS_MS = 4000;
/** A process that lived this long was healthy; its end starts the back-off anew, ms. */
const STEADY_MS = 30_000;

/** How long to wait before the nth start in a row that came to nothing, ms. */
export function backOff(failures: number): number {
  return Math.min(10_000, 250 * 2 ** failures);
}

/** A process that is kept alive until it is stopped. */
export class Part {
  readonly name: string;
  readonly #options: PartOptions;
  readonly #log: WriteStream;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;
  #child: ChildProcess | undefined;
  #inDistress = false;
  #starts = 0;

  constructor(options: PartOptions) {
    this.name = options.name;
    this.#options = options;
    this.#log = createWriteStream(options.logFile, { flags: 'a' });
    this.#done = this.#keepAlive();
  }

  /** The id of the process, and of its process group; undefined between two lives. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** Ends it, by force when it takes longer than `graceMs`. */
  async stop(graceMs = 5000): Promise<void> {
    const child = this.#child;
    this.#stopping.abort();
    // Only the leader is asked: it knows how to end the rest in order.
    child?.kill('SIGTERM');
    const timer = setTimeout(() => child && killGroup(child), graceMs);
    await this.#done;
    clearTimeout(timer);
    await new Promise((resolve) => this.#log.end(resolve));
  }

  async #keepAlive(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = Date.now();
      const end = await this.#live();
      if (signal.aborted) return;
      failures = Date.now() - startedAt > STEADY_MS ? 0 : failures + 1;
      const wait = backOff(failures - 1);
      this.#options.say(`the ${this.name} ${end}; starting it again`);
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One life of the process. Nothing of its group is left afterwards. */
  async #live(): Promise<string> {
    const { args, cwd, env } = this.#options;
    const child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#starts += 1;
    this.#inDistress = false;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream, crlfDelay: Infinity }).on('line', (l) => this.#heard(l));
    }
    const release = tieToOurLife(child);
    const ended = new AbortController();
    const exit = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`did not start (${error.message})`));
      child.once('exit', (code, signal) => resolve(`ended unexpectedly (${signal ?? code})`));
    });
    // Later than the exit: what the process printed last is still to be read.
    const closed = new Promise((resolve) => child.once('error', resolve).once('close', resolve));
    const end = await Promise.race([exit, this.#hang(ended.signal)]);
    ended.abort();
    killGroup(child);
    await closed;
    this.#child = undefined;
    release();
    return end;
  }

  #heard(line: string): void {
    if (this.#options.distress?.test(line)) this.#inDistress = true;
    const { onLine } = this.#options;
    const kept = onLine ? onLine(line) : line;
    if (kept !== null) this.#log.write(`${kept}\n`);
  }

  /** Settles once the process runs but does not answer. */
  async #hang(ended: AbortSignal): Promise<string> {
    const { answers } = this.#options;
    // Until the first answer this is the start, which may take as long as any silence.
    let heardAt = Date.now();
    while (!ended.aborted) {
      await sleep(PROBE_MS, undefined, { signal: ended }).catch(() => undefined);
      if (!answers || (await answers())) {
        heardAt = Date.now();
        this.#inDistress = false;
        continue;
      }
      const limit = this.#inDistress ? SILENCE_IN_DISTRESS_MS : SILENCE_MS;
      if (Date.now() - heardAt > limit) break;
    }
    return 'does not answer';
  }
}

/**
 * Makes the process die with us, even when we are killed and can do nothing: a small shell waits for
 * our end of a pipe to close, and then ends the process's group.
 * @returns lets go, when the process has ended by itself.
 */
function tieToOurLife(child: ChildProcess): () => void {
  if (child.pid === undefined) return () => undefined;
  const group = `-- -${child.pid}`;
  const script = `read -r _; kill -s TERM ${group}; sleep 3; kill -s KILL ${group}`;
  const watchdog = spawn('/bin/sh', ['-c', script], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.unref();
  watchdog.once('error', () => undefined);
  watchdog.stdin.once('error', () => undefined);
  return () => {
    // Killed, not closed: closing the pipe is what makes it kill.
    watchdog.kill('SIGKILL');
    watchdog.stdin.destroy();
  };
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already, which is what was wanted.
  }
}
