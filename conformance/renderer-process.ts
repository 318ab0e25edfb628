// Responsible for one process of the renderer that is held to the cases, and all processes below it.
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, isAlive } from '../e2e/support/processes.ts';
import type { Wire } from './wire.ts';

/** What is kept of the process's output, characters. */
const KEPT_OUTPUT = 20_000;
/** How long what a process had started may take to notice its end, ms. */
const ORPHAN_MS = 5000;

export interface ProcessSetup {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly worker: string;
  readonly wire: Wire;
}

export class RendererProcess {
  readonly worker: string;
  readonly #wire: Wire;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #output = '';
  #hasExited = false;
  #signalledAt = performance.now();
  #goneAfterMs = Infinity;
  /** What it had started before it was given work. */
  #idle: ReadonlySet<number> = new Set();
  /** Everything below it that was ever seen. */
  readonly #known = new Set<number>();

  /** Starts it; what cannot be started shows as an exit. */
  constructor({ command, env, worker, wire }: ProcessSetup) {
    this.worker = worker;
    this.#wire = wire;
    const [program = '', ...args] = command;
    wire.note('start', worker, {});
    this.#child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (part: unknown) => {
      this.#output = (this.#output + String(part)).slice(-KEPT_OUTPUT);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    const killAll = () => this.#killAll(this.#below());
    process.once('exit', killAll);
    this.#exited = new Promise((resolve) => {
      const exited = (code: number | null, signal: string | null) => {
        if (this.#hasExited) return;
        this.#hasExited = true;
        process.off('exit', killAll);
        this.#goneAfterMs = performance.now() - this.#signalledAt;
        wire.note('exit', worker, { code, signal });
        resolve();
      };
      this.#child.once('exit', exited);
      this.#child.once('error', (error) => {
        keep(error.message);
        exited(null, null);
      });
    });
  }

  get output(): string {
    return this.#output;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** How long after the last signal it was gone, ms. */
  get goneAfterMs(): number {
    return this.#goneAfterMs;
  }

  /** Takes what runs below it now as what it needs without any work. */
  rest(): void {
    this.#idle = new Set(this.#below());
  }

  /** The processes below it that it did not have when it was at rest; also those it has left behind. */
  atWork(): number[] {
    this.#below();
    return [...this.#known].filter((pid) => !this.#idle.has(pid) && isAlive(pid));
  }

  signal(name: NodeJS.Signals): void {
    this.#below();
    this.#signalledAt = performance.now();
    this.#wire.note('signal', this.worker, { signal: name });
    this.#child.kill(name);
  }

  /** @returns whether it was gone within so many ms. */
  async exit(withinMs: number): Promise<boolean> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, withinMs);
    await Promise.race([this.#exited, timeout.promise]);
    clearTimeout(timer);
    return this.#hasExited;
  }

  /** Ends it and all below it, whatever it is at. @returns what had outlived it. */
  async kill(): Promise<number[]> {
    const orphans = this.#hasExited ? await this.#orphans() : [];
    this.#killAll([...this.#below(), ...orphans]);
    await this.#exited;
    return orphans;
  }

  async #orphans(): Promise<number[]> {
    const deadline = performance.now() + ORPHAN_MS;
    for (;;) {
      const alive = [...this.#known].filter((pid) => isAlive(pid));
      if (alive.length === 0 || performance.now() > deadline) return alive;
      await sleep(50);
    }
  }

  #killAll(below: readonly number[]): void {
    this.#child.kill('SIGKILL');
    for (const pid of below) killQuietly(pid);
  }

  #below(): number[] {
    const { pid } = this.#child;
    const pids = pid === undefined || this.#hasExited ? [] : descendants(pid).map((p) => p.pid);
    for (const one of pids) this.#known.add(one);
    return pids;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
