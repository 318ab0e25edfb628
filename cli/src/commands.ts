import type { Command } from './command.ts';
import { create } from './commands/create.ts';
import { doctor } from './commands/doctor.ts';
import { download } from './commands/download.ts';
import { keys } from './commands/keys.ts';
import { list } from './commands/list.ts';
import { cancel, get, remove } from './commands/one-job.ts';
import { retry } from './commands/retry.ts';
import { watch } from './commands/watch.ts';

/** Every command, in the order in which help names them. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({
    create,
    watch,
    get,
    cancel,
    retry,
    list,
    download,
    delete: remove,
    keys,
    doctor,
  }),
);
