// `npm run dev` in workers/: the whole stack for somebody who changes it, with everything that its
// parts print. Edits of the Worker are picked up at once.
import { parseArgs } from 'node:util';
import { ensureFfmpeg } from './ensure-ffmpeg.ts';
import { banner } from './lib/banner.ts';
import { parsePort } from './lib/port.ts';
import { paint } from './lib/terminal.ts';
import { untilStopped } from './lib/until-stopped.ts';
import { report, UsageError } from './lib/user-error.ts';
import { DEFAULT_PORT, startStack } from './stack.ts';

try {
  const { values } = parseArgs({ options: { port: { type: 'string' } } });
  const stopped = untilStopped();
  await ensureFfmpeg();
  const stack = await startStack({
    port: parsePort(values.port, DEFAULT_PORT),
    onLine: (part, line) => console.log(`${paint('dim', `${part.padEnd(8)} |`)} ${line}`),
  });
  console.log(banner(stack));
  await stopped;
  await stack.close();
  process.exit(0);
} catch (error) {
  report(error);
  process.exit(error instanceof UsageError ? 2 : 1);
}
