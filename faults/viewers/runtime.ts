// Responsible for workerd: it runs, is ended in order or killed, and forgets objects when it is told to.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import * as v from 'valibot';
import { Answer, Started, type Eviction, type Order, type Settings } from './runtime-orders.ts';

export class Runtime {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #pid = 0;
  #orders = 0;

  /** What the Worker and workerd print goes to the end of a file. */
  constructor(logFile: string) {
    const log = openSync(logFile, 'a');
    this.#process = fork(path.join(import.meta.dirname, 'runtime-process.ts'), {
      execArgv: [],
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#process.on('message', (message) => this.#hear(message));
    this.#process.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the runtime has ended'));
    });
  }

  async start(settings: Settings): Promise<void> {
    const { pid } = v.parse(Started, await this.#order({ start: settings }));
    this.#pid = pid;
  }

  async stop(): Promise<void> {
    await this.#order({});
  }

  /** Ends workerd as a crash does. */
  async kill(): Promise<void> {
    process.kill(this.#pid, 'SIGKILL');
    await this.stop();
  }

  /** Takes an object out of memory as soon as it is quiet; nothing happens to one that sleeps. */
  async evict(eviction: Eviction): Promise<void> {
    await this.#order({ evict: eviction });
  }

  async close(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }

  async #order(order: Omit<Order, 'id'>): Promise<unknown> {
    const id = (this.#orders += 1);
    const answered = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answered);
    this.#process.send({ id, ...order });
    return await answered.promise;
  }

  #hear(message: unknown): void {
    const { id, value, error } = v.parse(Answer, message);
    const answered = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) answered?.resolve(value);
    else answered?.reject(new Error(error));
  }
}
