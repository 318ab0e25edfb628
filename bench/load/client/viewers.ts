// Responsible for the process that holds the viewers (`programs/viewers.ts`), as the bench sees it.
import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import * as v from 'valibot';
import { endOf, nextMessage } from '../child.ts';
import type { Door } from './socket.ts';
import { Failed } from '../parent.ts';
import { Done, Reading, Verdict, type Command } from './viewer-calls.ts';
import type { Tally } from './witness.ts';

const PROGRAM = path.join(import.meta.dirname, '..', 'programs', 'viewers.ts');

/** The viewers of one job at a time. */
export class Viewers {
  readonly #child: ChildProcess = fork(PROGRAM, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });

  /** Resolves once all of them watch. */
  async open(door: Door, viewers: number): Promise<void> {
    await this.#ask(
      { do: 'open', door: { ...door, protocols: [...door.protocols] }, viewers },
      Done,
    );
  }

  async mark(timed: boolean): Promise<void> {
    await this.#ask({ do: 'mark', timed }, Done);
  }

  read(): Promise<Reading> {
    return this.#ask({ do: 'read' }, Reading);
  }

  judge(acknowledged: number, patienceMs: number): Promise<Tally> {
    return this.#ask({ do: 'judge', acknowledged, patienceMs }, Verdict);
  }

  /** All of them leave. */
  async leave(): Promise<void> {
    await this.#ask({ do: 'close' }, Done);
  }

  /** Ends the process. */
  close(): Promise<void> {
    return endOf(this.#child);
  }

  /** One question at a time. */
  async #ask<S extends v.GenericSchema>(command: Command, schema: S): Promise<v.InferOutput<S>> {
    this.#child.send(command);
    const reply = await nextMessage(this.#child);
    if (v.is(Failed, reply)) throw new Error(`viewers: ${reply.failed}`);
    return v.parse(schema, reply);
  }
}
