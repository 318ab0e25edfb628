import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/**
 * What a media tool may see of our environment: what finds libraries and the GPU, and no secret.
 * @param folder where it may have files of its own for a while.
 */
export function toolEnv(folder?: string): Record<string, string> {
  const env: Record<string, string> = { LC_ALL: 'C', AV_LOG_FORCE_NOCOLOR: '1', SVT_LOG: '1' };
  if (folder !== undefined) env['TMPDIR'] = folder;
  for (const [name, value] of Object.entries(process.env)) {
    const harmless = /^(PATH|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|(CUDA|NVIDIA)_\w+)$/.test(name);
    if (value !== undefined && harmless) env[name] = value;
  }
  return env;
}

/** The last lines of a stream, so that a chatty tool cannot fill the memory. */
export class LastLines {
  readonly lines: string[] = [];
  readonly closed: Promise<void>;

  constructor(stream: Readable, keep = 40) {
    const reader = createInterface({ input: stream, crlfDelay: Infinity });
    reader.on('line', (line) => {
      this.lines.push(line.slice(0, 1000));
      if (this.lines.length > keep) this.lines.shift();
    });
    this.closed = new Promise((resolve) => void reader.once('close', resolve));
  }
}

/** How long what an ended process has said may take to be read, ms. */
const UNREAD_MS = 1000;

/**
 * Waits until a process has ended and all that it said was read. What it has left behind may hold its pipes open, and is
 * not waited for.
 * @throws when it cannot be started.
 */
export async function endOf(
  child: ChildProcess,
): Promise<[code: number | null, signal: NodeJS.Signals | null]> {
  let timer: NodeJS.Timeout | undefined;
  const letGo = () => {
    for (const pipe of child.stdio) pipe?.destroy();
  };
  child.once('exit', () => {
    // Twice: after a pause of this whole process its timers come first, and what was said is read yet.
    timer = setTimeout(() => (timer = setTimeout(letGo, UNREAD_MS)), UNREAD_MS);
  });
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject).once('close', (code, signal) => resolve([code, signal]));
    });
  } finally {
    clearTimeout(timer);
  }
}

export interface ToolEnd {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: readonly string[];
  readonly timedOut: boolean;
  /** Whether it was killed because it said too much. */
  readonly flooded: boolean;
}

export interface ToolOptions {
  /** Killed when it takes longer, ms. */
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** Killed when it has said more than this, bytes. Default 4 MiB. */
  readonly maxOutput?: number;
  /** Gets each line of standard output. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs a short-lived tool to its end.
 * @throws when it cannot be started, or with the signal's reason when that aborts.
 */
export async function runTool(
  path: string,
  args: readonly string[],
  { timeoutMs, cwd, signal, maxOutput = 4 * 1024 * 1024, onLine }: ToolOptions,
): Promise<ToolEnd> {
  signal?.throwIfAborted();
  const child = spawn(path, args, {
    env: toolEnv(cwd),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  const stderr = new LastLines(child.stderr);
  const stdout = createInterface({ input: child.stdout, crlfDelay: Infinity });
  if (onLine) stdout.on('line', onLine);
  const stop = () => child.kill('SIGKILL');
  let said = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.length;
    if (said > maxOutput) stop();
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeoutMs);
  signal?.addEventListener('abort', stop);
  try {
    const [code, killedBy] = await endOf(child);
    signal?.throwIfAborted();
    return { code, signal: killedBy, stderr: stderr.lines, timedOut, flooded: said > maxOutput };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}
