// `npm start`: the whole thing on this machine, for somebody who uses it; or, with a file, one
// export from the command line.
import path from 'node:path';
import { ensureFfmpeg } from './ensure-ffmpeg.ts';
import { banner } from './lib/banner.ts';
import { DEFAULT_DATA_DIR, holderOf } from './lib/data-dir.ts';
import { parseStartArgs, USAGE, type StartArgs } from './lib/export-args.ts';
import { exportFile } from './lib/export-file.ts';
import { isOurs } from './lib/health.ts';
import { isPortFree } from './lib/port.ts';
import { onStop } from './lib/until-stopped.ts';
import { report, UsageError, UserError } from './lib/user-error.ts';
import { DEFAULT_PORT, startStack } from './stack.ts';

// npm changes into the repository; paths on the command line are meant from where it was typed.
const CWD = process.env['INIT_CWD'] ?? process.cwd();

process.exit(await main());

async function main(): Promise<number> {
  const stop = new AbortController();
  onStop((sign) => stop.abort(new UserError(`Stopped (${sign}).`)));
  try {
    const args = parseStartArgs(process.argv.slice(2));
    if (args === null) {
      console.log(USAGE);
      return 0;
    }
    return args.job === null
      ? await serve(args.port ?? DEFAULT_PORT, stop.signal)
      : await exportOne(args.port, args.job, stop.signal);
  } catch (error) {
    report(error);
    if (error instanceof UsageError) console.error(`\n${USAGE}`);
    if (error instanceof UsageError) return 2;
    return stop.signal.aborted ? 130 : 1;
  }
}

async function serve(port: number, stop: AbortSignal): Promise<number> {
  await ensureFfmpeg();
  const stack = await startStack({ port });
  if (!stop.aborted) {
    console.log(banner(stack));
    await new Promise((resolve) => stop.addEventListener('abort', resolve));
  }
  console.error('Stopping…');
  await stack.close();
  return 0;
}

async function exportOne(
  port: number | undefined,
  { file, output, options }: NonNullable<StartArgs['job']>,
  signal: AbortSignal,
): Promise<number> {
  const paths = {
    file: path.resolve(CWD, file),
    output: output === undefined ? undefined : path.resolve(CWD, output),
    folder: CWD,
  };
  const running = await runningStack(port ?? DEFAULT_PORT);
  const stack = running === null ? await startForOne(port) : null;
  try {
    const baseUrl = running ?? stack?.url ?? '';
    console.log(await exportFile({ ...paths, baseUrl, options, signal }));
    return 0;
  } finally {
    await stack?.close();
  }
}

/** Where a stack of ours is running already, or null. */
async function runningStack(port: number): Promise<string | null> {
  const holder = await holderOf(DEFAULT_DATA_DIR);
  if (holder) return holder.url;
  return (await isOurs(port)) ? `http://localhost:${port}` : null;
}

/** Nobody will type its address, so any port will do unless one was asked for. */
async function startForOne(port: number | undefined) {
  await ensureFfmpeg();
  if (port !== undefined) return await startStack({ port, app: false });
  return await startStack({
    port: (await isPortFree(DEFAULT_PORT)) ? DEFAULT_PORT : 0,
    app: false,
  });
}
