import { spawn } from 'node:child_process';

export interface RunResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  /** Both streams, in the order of arrival. */
  readonly output: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends it early. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a program to its end and keeps what it prints.
 * @throws when it cannot be started.
 */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, env = {}, signal }: RunOptions = {},
): Promise<RunResult> {
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
    ...(signal === undefined ? {} : { signal }),
  });
  let output = '';
  const keep = (chunk: Buffer) => (output += chunk.toString());
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  return { code, output };
}

/** Runs a script under this very Node. */
export async function runNode(args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return await run(process.execPath, args, options);
}
