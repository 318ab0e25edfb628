import type { Disk } from './disk.ts';

/** What the storage asks of the process that it serves. */
export interface Process {
  /** @throws when the process is dead, which it may become at this very moment. */
  beforeCommit(): void;
  /** @throws when the process dies of having committed. */
  afterCommit(): void;
  /** @throws when the process is dead. */
  assertAlive(): void;
  alarmChanged(): void;
}

/**
 * The storage of one object as the platform gives it (`DurableObjectStorage`): transactions roll back
 * key-value pairs and the alarm alike. There is no SQL: an object that asks for it here fails loudly.
 */
export class Storage {
  readonly #disk: Disk;
  readonly #process: Process;
  #depth = 0;
  /** Whether the transaction under way has set the alarm, be it to the same time as before. */
  #isAlarmSet = false;

  constructor(disk: Disk, process: Process) {
    this.#disk = disk;
    this.#process = process;
  }

  readonly kv = {
    get: (key: string) => {
      this.#process.assertAlive();
      return this.#disk.kv.get(key);
    },
    put: (key: string, value: unknown) => {
      const copy: unknown = typeof value === 'string' ? value : structuredClone(value);
      this.transactionSync(() => this.#disk.kv.set(key, copy));
    },
  };

  transactionSync<T>(closure: () => T): T {
    this.#process.assertAlive();
    if (this.#depth > 0) return closure();
    this.#process.beforeCommit();
    let result: T;
    this.#isAlarmSet = false;
    this.#depth += 1;
    try {
      result = this.#disk.transaction(closure);
    } finally {
      this.#depth -= 1;
    }
    if (this.#isAlarmSet) this.#process.alarmChanged();
    this.#process.afterCommit();
    return result;
  }

  async getAlarm(): Promise<number | null> {
    this.#process.assertAlive();
    return this.#disk.alarm;
  }

  setAlarm(at: number): Promise<void> {
    this.#process.assertAlive();
    this.#disk.alarm = at;
    this.#isAlarmSet = true;
    if (this.#depth === 0) this.#process.alarmChanged();
    return Promise.resolve();
  }

  async deleteAll(): Promise<void> {
    this.#process.beforeCommit();
    this.#disk.clear();
    this.#process.alarmChanged();
    this.#process.afterCommit();
  }
}
