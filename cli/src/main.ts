#!/usr/bin/env node
// Responsible for the process: its words, streams and signals.
import { constants } from 'node:os';
import { Interrupted } from './exit.ts';
import { sinkOf } from './io.ts';
import { run } from './run.ts';

const { argv, env, stdout, stderr } = process;
const stop = new AbortController();
// Once: a second Ctrl-C ends the process at once, as if nobody listened.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    stop.abort(new Interrupted(128 + constants.signals[signal], 'Stopped.'));
  });
}
// Whoever read stdout has gone, as `head` does: there is nobody to work for.
stdout.on('error', () => process.exit(128 + constants.signals.SIGPIPE));
// A terminal that was closed cannot be written to, which is no reason to fail.
stderr.on('error', () => undefined);

const code = await run(argv.slice(2), {
  env,
  cwd: process.cwd(),
  stdout: sinkOf(stdout, env),
  stderr: sinkOf(stderr, env),
  signal: stop.signal,
});
// What was written has left before the process does; open connections are not waited for.
await Promise.all([stdout, stderr].map((s) => new Promise((resolve) => s.write('', resolve))));
process.exit(code);
