// Responsible for what a command is and what it gets.
import type { ExportClient, ExportJob } from '@export-jobs/client';
import type { Globals } from './args.ts';
import { viewOf } from './bar.ts';
import { connect } from './connect.ts';
import { Display } from './display.ts';
import type { Io } from './io.ts';
import { type Paint, painter } from './text.ts';

/** A command that was understood, ready to run. Resolves with the exit code. */
export type Prepared = (session: Session) => Promise<number>;

export interface Command {
  readonly usage: string;
  /** In a few words, for the list of commands. */
  readonly summary: string;
  /** Its own options and what else there is to know. */
  readonly help: string;
  /** @throws UsageError; touches nothing. */
  parse(args: readonly string[], env: Io['env']): { globals: Globals; run: Prepared };
}

/** One run of one command: its server, and its ways to speak. */
export class Session {
  readonly io: Io;
  readonly globals: Globals;
  readonly client: ExportClient;
  readonly paint: Paint;
  readonly #display: Display;

  constructor(io: Io, globals: Globals) {
    this.io = io;
    this.globals = globals;
    this.client = connect(globals.server);
    this.paint = painter(io.stdout.isTerminal, io.env);
    this.#display = new Display(io.stderr, painter(io.stderr.isTerminal, io.env));
  }

  /** What was asked for: text for people, or one line of JSON. */
  result(text: string, object: object): void {
    this.#display.end();
    this.io.stdout.write(`${this.globals.json ? JSON.stringify(object) : text}\n`);
  }

  /** What programs want to hear and people see as progress. */
  event(object: object): void {
    if (this.globals.json) this.io.stdout.write(`${JSON.stringify(object)}\n`);
  }

  /** A result that programs have from the events already. */
  answer(text: string): void {
    this.#display.end();
    if (!this.globals.json) this.io.stdout.write(`${text}\n`);
  }

  /** Something that helps, to people. */
  note(text: string): void {
    if (this.#isTalkative) this.#display.say(text);
  }

  /** @param heardAt epoch ms. */
  showJob(job: ExportJob, isLost: boolean, heardAt: number): void {
    if (this.#isTalkative) this.#display.show(viewOf(job, isLost, heardAt));
  }

  /** Bytes on their way. */
  showBytes(stage: string, done: number, all: number | null): void {
    const percent = all === null || all === 0 ? null : (100 * done) / all;
    const view = { percent, stage, speed: null, endsAt: null, isLost: false };
    if (this.#isTalkative) this.#display.show(view);
  }

  /** Leaves the terminal to whoever writes next. */
  endProgress(): void {
    this.#display.end();
  }

  /** A command to type next. */
  hint(command: string): string {
    const { isUrlTyped, server } = this.globals;
    return `export-jobs ${command}${isUrlTyped ? ` --url ${server.url}` : ''}`;
  }

  get #isTalkative(): boolean {
    return !this.globals.quiet && !this.globals.json;
  }
}
