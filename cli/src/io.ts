/** Where text goes. */
export interface Sink {
  write(text: string): void;
  /** Whether a person looks at it on a terminal that can redraw a line. */
  readonly isTerminal: boolean;
  /** Characters in a line, now. */
  readonly width: number;
}

/** Everything of the process that commands may touch. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Results, and nothing else. */
  readonly stdout: Sink;
  /** Progress, notes and errors. */
  readonly stderr: Sink;
  /** Aborts with an `Interrupted` when the command should end. */
  readonly signal: AbortSignal;
}

/** A stream of the process. */
export function sinkOf(stream: NodeJS.WriteStream, env: Io['env']): Sink {
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY && env['TERM'] !== 'dumb',
    get width() {
      return stream.columns || 80;
    },
  };
}
