// What a transport is given, and what it gives back: a way to watch, one connection at a time.

/** One connection of a viewer. */
export interface Visit {
  /** Of the viewer's own wire. */
  readonly url: string;
  readonly jobId: string;
  readonly token: string;
  /** The last number that was seen, on whatever connection; null when there was none. */
  readonly since: number | null;
  /** Aborts when the viewer goes away. */
  readonly signal: AbortSignal;
  /** Takes whatever was said, parsed as JSON. */
  readonly hear: (told: unknown) => void;
  /** The server will not have it, for good. */
  readonly refused: (why: string) => void;
}

/** Makes one connection, and resolves or throws when that is over. What it remembers is its own. */
export type Way = (visit: Visit) => Promise<void>;

/** Takes a text that was said. Only the server itself can say what is no JSON. */
export function hearText(text: string, { hear, refused }: Pick<Visit, 'hear' | 'refused'>): void {
  try {
    hear(JSON.parse(text));
  } catch (error) {
    refused(`${String(error)}: ${text.slice(0, 100)}`);
  }
}

/** A signal that aborts after so long without a sign of life, or with another signal. */
export function watchdog(ms: number, signal: AbortSignal) {
  const silent = new AbortController();
  const bark = () => silent.abort(new Error('nothing was heard for too long'));
  let timer = setTimeout(bark, ms);
  return {
    signal: AbortSignal.any([signal, silent.signal]),
    alive: () => {
      clearTimeout(timer);
      timer = setTimeout(bark, ms);
    },
    stop: () => clearTimeout(timer),
  };
}
