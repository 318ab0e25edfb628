// Responsible for one list of everything that was said on all sides, in the order in which it came.
import type { TracedCall } from '../renderer/src/runpod/stand-in/index.ts';
import type { Side } from './format.ts';

/** A call, or something that a process did. Times in epoch ms. */
export interface Seen {
  readonly side: Side;
  readonly call: string;
  readonly worker?: string | undefined;
  /** Not there: by HTTP. */
  readonly via?: 'socket';
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case; of `authorization` only its kind. */
  readonly headers: Readonly<Record<string, string>>;
  body?: unknown;
  bytes: number;
  readonly at: number;
  /** The newest epoch that the server had given. */
  readonly epoch: number;
  /** The answer. 0: there was none. Not there: the call is still open. */
  status?: number;
  answer?: unknown;
  answeredAt?: number;
}

const WORKER_CALLS = [
  'job-take',
  'job-take-batch',
  'job-stop',
  'job-done',
  'job-stream',
  'ping',
  'unknown',
];

const NOTHING = { method: '', path: '', query: {}, headers: {} };

/** The whole conversation of one case. */
export class Wire {
  readonly #runpod: () => readonly TracedCall[];
  /** What came to us, and how many calls RunPod had heard by then. */
  readonly #ours: { readonly seen: Seen; readonly after: number }[] = [];
  #epoch = 0;

  /** @param runpod the trace of the stand-in for RunPod. */
  constructor(runpod: () => readonly TracedCall[]) {
    this.#runpod = runpod;
  }

  /** The server has given this epoch. */
  gave(epoch: number): void {
    this.#epoch = epoch;
  }

  /** Adds something that came just now; what is learned of it later may be written into it. */
  add(said: Pick<Seen, 'side' | 'call' | 'via' | 'method' | 'path' | 'query' | 'headers'>): Seen {
    const seen = { bytes: 0, ...said, at: Date.now(), epoch: this.#epoch };
    this.#ours.push({ seen, after: this.#runpod().at(-1)?.seq ?? 0 });
    return seen;
  }

  /** Adds something that a process did. */
  note(call: 'start' | 'signal' | 'exit', worker: string, body: unknown): void {
    const seen = this.add({ side: 'process', call, ...NOTHING });
    Object.assign(seen, { worker, body });
  }

  /** Adds something that the server said unasked. */
  told(call: string, body: unknown): void {
    this.add({ side: 'notice', call, ...NOTHING }).body = body;
  }

  /** Everything so far. */
  seen(): readonly Seen[] {
    const theirs = this.#runpod()
      .filter(({ op }) => op === 'progress' || WORKER_CALLS.includes(op))
      .map((call) => ({ seen: fromRunpod(call), after: call.seq }));
    // Ours came after the last of theirs that had been heard by then.
    return [...theirs, ...this.#ours].toSorted((a, b) => a.after - b.after).map(({ seen }) => seen);
  }
}

function fromRunpod({ op, ...call }: TracedCall): Seen {
  // `/v2/<endpoint>/<name>/<worker>`
  const worker = call.path.split('/')[4];
  return {
    ...call,
    side: 'runpod',
    call: op === 'progress' ? 'job-progress' : op,
    worker,
    epoch: 0,
  };
}
