// Responsible for one ffmpeg process: that it gets on, that it ends when it must, and that it never
// outlives us. Must not judge what it made: that is verify.ts.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { MAX_UPLOAD_BYTES } from '@export-jobs/protocol';
import { RenderFailure } from '../failure.ts';
import { classifyEnd } from './classify.ts';
import { confined } from './confine.ts';
import type { ConfinedTools } from './locate.ts';
import { memoryLimit, watchMemory } from './memory.ts';
import { endOf, LastLines, toolEnv } from './process.ts';
import { ProgressLines, type EncodeProgress } from './progress-lines.ts';

export interface SuperviseOptions {
  readonly tools: Pick<ConfinedTools, 'ffmpeg' | 'confinement'>;
  readonly args: readonly string[];
  /** It may write no larger file, bytes. Default: the largest that can be stored. */
  readonly fileBytes?: number;
  /** It may hold no more memory, bytes. Default: most of what the machine has. */
  readonly memoryBytes?: number;
  /** The job's own folder, in which ffmpeg runs. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Without a further frame or byte for this long it counts as stalled, ms. Default 60,000. */
  readonly stallMs?: number;
  /** How long it may run at all, ms. Default 6 h; the platform's own limit is usually nearer. */
  readonly deadlineMs?: number;
  readonly onProgress?: (progress: EncodeProgress) => void;
}

/** How long what ffmpeg has already said may take to be read, ms. */
const UNREAD_MS = 500;
/** Between asking ffmpeg to end and killing it, ms. */
const TERM_GRACE_MS = 1500;

/**
 * Runs ffmpeg to its end.
 * @throws RenderFailure with the reason why it failed, stalled or took too long; or the signal's
 *   reason, once the process is gone, which takes at most 2 s.
 */
export async function superviseEncode(options: SuperviseOptions): Promise<void> {
  const { signal, stallMs = 60_000, deadlineMs = 6 * 3_600_000 } = options;
  signal.throwIfAborted();
  const child = await start(options);
  const releaseLifeline = tieToOurLife(child);
  const ended = endOf(child);
  let verdict: Error | undefined;
  const stop = (reason: Error) => {
    verdict ??= reason;
    void endGroup(child.pid, ended);
  };
  const onAbort = () => stop(asError(signal.reason));
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  const deadline = setTimeout(
    () => stop(new RenderFailure('attempt_timeout', 'the encode took too long')),
    deadlineMs,
  );
  const stall = watchStall(stallMs, () =>
    stop(new RenderFailure('encoder_stalled', `no progress for ${Math.round(stallMs / 1000)} s`)),
  );
  const forget = watchMemory(child.pid, options.memoryBytes ?? memoryLimit(), () =>
    stop(new RenderFailure('out_of_memory', 'the encode needs more memory than there is')),
  );
  const stderr = child.stderr ? new LastLines(child.stderr) : undefined;
  readProgress(child, (progress) => {
    stall.saw(progress);
    options.onProgress?.(progress);
  });
  try {
    const [code, killedBy] = await ended;
    if (verdict) throw verdict;
    if (code === 0) return;
    const lines = stderr?.lines ?? [];
    const failure = classifyEnd({ code, signal: killedBy, stderr: lines });
    throw new RenderFailure(failure, `ffmpeg ended with ${killedBy ?? code}: ${lines.join(' | ')}`);
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(deadline);
    stall.end();
    forget();
    releaseLifeline();
  }
}

async function start({ tools, args, folder, fileBytes = MAX_UPLOAD_BYTES }: SuperviseOptions) {
  const fixed = ['-hide_banner', '-nostdin', '-v', 'warning', '-progress', 'pipe:3'];
  const command = [tools.ffmpeg, ...fixed, ...args];
  return spawn(...(await confined(tools.confinement, command, folder, { fileBytes })), {
    cwd: folder,
    env: toolEnv(folder),
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
}

/**
 * Makes ffmpeg die with us, even when we are killed and can do nothing: it ignores a broken pipe, so
 * a small shell waits for our end of a pipe to close, and then kills ffmpeg's group.
 * @returns lets go, when ffmpeg has ended by itself.
 */
function tieToOurLife(child: ChildProcess): () => void {
  if (child.pid === undefined) return () => undefined;
  const watchdog = spawn('/bin/sh', ['-c', `read -r _; kill -s KILL -- -${child.pid}`], {
    detached: true,
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.unref();
  watchdog.once('error', () => undefined);
  watchdog.stdin?.once('error', () => undefined);
  return () => {
    // Killed, not closed: closing the pipe is what makes it kill.
    watchdog.kill('SIGKILL');
    watchdog.stdin?.destroy();
  };
}

/**
 * Asks a whole group of processes to end, and kills it when its leader has not within 1.5 s.
 * @param ended settles when the leader has ended.
 */
export async function endGroup(leader: number | undefined, ended: Promise<unknown>): Promise<void> {
  killGroup(leader, 'SIGTERM');
  const timer = setTimeout(() => killGroup(leader, 'SIGKILL'), TERM_GRACE_MS);
  await ended.catch(() => undefined);
  clearTimeout(timer);
}

function killGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // The group is gone already, which is what was wanted.
  }
}

function readProgress(child: ChildProcess, onBlock: (progress: EncodeProgress) => void): void {
  const pipe = child.stdio[3];
  if (!(pipe instanceof Readable)) throw new Error('ffmpeg was started without a progress pipe');
  const parser = new ProgressLines();
  createInterface({ input: pipe }).on('line', (line) => {
    const block = parser.add(line);
    if (block) onBlock(block);
  });
}

/** Calls back once when neither frames nor bytes have grown for `stallMs`. */
function watchStall(stallMs: number, onStall: () => void) {
  let best = { frame: 0, size: 0 };
  let timer: NodeJS.Timeout;
  const arm = () => {
    timer = setTimeout(() => {
      // After a pause of this whole process its timers come first: what came meanwhile is read yet.
      timer = setTimeout(onStall, UNREAD_MS);
    }, stallMs);
  };
  arm();
  return {
    saw({ frame, size = 0, ended }: EncodeProgress) {
      if (frame <= best.frame && size <= best.size && !ended) return;
      best = { frame: Math.max(frame, best.frame), size: Math.max(size, best.size) };
      clearTimeout(timer);
      arm();
    },
    end: () => clearTimeout(timer),
  };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
