// `npm run bench -- [name…] [--flag…]`: the measures of `bench/`, one after the other; all of them without
// a name. Flags are for the one that is named.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { inRoot, ROOT } from './lib/paths.ts';
import { report, UsageError } from './lib/user-error.ts';

const BENCHES = {
  bill: ['bill', 'run.ts'],
  lists: ['lists', 'run.ts'],
  'dead-time': ['dead-time.ts'],
  overhead: ['overhead', 'run.ts'],
  startup: ['startup', 'run.ts'],
  eta: ['eta', 'run.ts'],
  load: ['load', 'run.ts'],
  feed: ['feed', 'run.ts'],
} as const;
const known = Object.entries(BENCHES);

try {
  const given = process.argv.slice(2);
  const flags = given.filter((one) => one.startsWith('--'));
  const names = given.filter((one) => !one.startsWith('--'));
  const stranger = names.find((name) => !known.some(([one]) => one === name));
  if (stranger !== undefined) {
    throw new UsageError(`no bench "${stranger}"; there are ${Object.keys(BENCHES).join(', ')}`);
  }
  if (flags.length > 0 && names.length !== 1) throw new UsageError('flags are for one bench');
  for (const [name, parts] of known) {
    if (names.length > 0 && !names.includes(name)) continue;
    const args = [inRoot('bench', ...parts), ...flags];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
    await once(child, 'exit');
    if (child.exitCode !== 0) process.exitCode = 1;
    console.log();
  }
} catch (error) {
  report(error);
  process.exitCode = 2;
}
