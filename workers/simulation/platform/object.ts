import { ExportJobState } from '../../src/durable-objects/ExportJobState.ts';
import type { Env } from '../../src/lib/env.ts';
import { Dead } from '../stage.ts';
import type { Cause, Stage } from '../stage.ts';
import type { Disk } from './disk.ts';
import { pretend } from './pretend.ts';
import type { Socket } from './sockets.ts';
import { Storage } from './storage.ts';

/** After this many failures the platform drops an alarm without a word. */
const ALARM_RETRIES = 6;

interface Surroundings {
  readonly env: Env;
  readonly stage: Stage;
  /** Called after every write. */
  readonly onCommit: () => void;
  /** Called when an alarm has been heard out. */
  readonly onAlarm: () => void;
}

/** One life of the object in memory. */
interface Process {
  readonly object: ExportJobState;
  readonly ready: Promise<unknown>;
  isReady: boolean;
  isDead: boolean;
  /** Calls and effects under way. */
  busy: number;
  readonly onDeath: Set<() => void>;
}

/**
 * The platform around one Durable Object: starts it, delivers its calls and alarms, keeps its disk
 * and sockets, and crashes it at the worst moments. The object's own code is the real one.
 */
export class ObjectHost {
  readonly name: string;
  readonly disk: Disk;
  crashes = 0;
  alarms = 0;
  /** Why the object is running now; null while it goes on after a pause. */
  cause: Cause | null = null;
  readonly #env: Env;
  readonly #stage: Stage;
  readonly #onCommit: () => void;
  readonly #onAlarm: () => void;
  readonly #sockets = new Set<Socket>();
  #process: Process | null = null;
  #alarmTimer: { cancel(): void } | null = null;

  constructor(name: string, disk: Disk, { env, stage, onCommit, onAlarm }: Surroundings) {
    this.name = name;
    this.disk = disk;
    this.#env = env;
    this.#stage = stage;
    this.#onCommit = onCommit;
    this.#onAlarm = onAlarm;
  }

  /**
   * Delivers one call.
   * @throws Dead when the process dies before it has answered; what it committed stays.
   */
  async invoke<T>(cause: Cause, entrance: (object: ExportJobState) => T | Promise<T>): Promise<T> {
    const process = (this.#process ??= this.#boot());
    if (!process.isReady) await process.ready;
    if (process.isDead) throw new Dead();
    process.busy += 1;
    try {
      this.cause = cause;
      const answer = entrance(process.object);
      this.cause = null;
      return answer instanceof Promise ? await this.#outlive(process, answer) : answer;
    } catch (error) {
      if (process.isDead) throw new Dead();
      this.#stage.violated('I17', `the object threw ${String(error)}`);
      throw error;
    } finally {
      this.cause = null;
      process.busy -= 1;
    }
  }

  /** Ends the process as `kill -9` does: memory, sockets and unanswered calls are lost. */
  kill(): void {
    const process = this.#process;
    if (!process) return;
    this.crashes += 1;
    this.#stage.note('object', 'crashes');
    process.isDead = true;
    this.#process = null;
    for (const socket of this.#sockets) socket.close();
    this.#sockets.clear();
    for (const tell of process.onDeath) tell();
  }

  /** Drops the object from memory if it is idle; its sockets survive. */
  evict(): void {
    if (!this.#process || this.#process.busy > 0) return;
    this.#stage.note('object', 'is evicted');
    this.#process.isDead = true;
    this.#process = null;
  }

  #boot(): Process {
    const life = { isReady: false, isDead: false, busy: 0, onDeath: new Set<() => void>() };
    const ready: Promise<unknown>[] = [];
    const storage = new Storage(this.disk, {
      assertAlive: () => this.#assertAlive(life),
      beforeCommit: () => {
        this.#assertAlive(life);
        this.#perhapsCrash('crash before commit', life);
      },
      afterCommit: () => {
        this.#onCommit();
        this.#perhapsCrash('crash after commit', life);
      },
      alarmChanged: () => this.#setAlarmTimer(),
    });
    const context = {
      id: { name: this.name },
      storage,
      waitUntil: (effect: Promise<unknown>) => void this.#await(life, effect),
      blockConcurrencyWhile: (start: () => Promise<unknown>) => {
        ready.push(start());
        return ready[0];
      },
      acceptWebSocket: (socket: Socket) => this.#sockets.add(socket),
      getWebSockets: () => [...this.#sockets].filter((socket) => socket.isOpen),
      setWebSocketAutoResponse: () => undefined,
    };
    const object = new ExportJobState(pretend(context), this.#env);
    const process: Process = Object.assign(life, { object, ready: Promise.all(ready) });
    void process.ready.then(() => (process.isReady = true));
    return process;
  }

  async #await(life: Pick<Process, 'busy' | 'isDead'>, effect: Promise<unknown>): Promise<void> {
    life.busy += 1;
    try {
      await effect;
    } catch (error) {
      if (!life.isDead) this.#stage.violated('I17', `an effect threw ${String(error)}`);
    } finally {
      life.busy -= 1;
    }
  }

  #outlive<T>({ onDeath }: Process, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const die = () => reject(new Dead());
      onDeath.add(die);
      answer.then(resolve, reject).finally(() => onDeath.delete(die));
    });
  }

  #assertAlive(life: Pick<Process, 'isDead'>): void {
    if (life.isDead) throw new Dead();
  }

  #perhapsCrash(
    fault: 'crash before commit' | 'crash after commit',
    life: Pick<Process, 'isDead'>,
  ): void {
    if (!this.#stage.faults.strikes(fault, 0.03)) return;
    this.kill();
    this.#assertAlive(life);
  }

  #setAlarmTimer(): void {
    this.#alarmTimer?.cancel();
    this.#alarmTimer = null;
    if (this.disk.alarm === null) return;
    const { clock, random, faults } = this.#stage;
    const late = faults.strikes('alarm late', 0.3) ? random.int(0, 60_000) : random.int(0, 20);
    this.#alarmTimer = clock.at(Math.max(this.disk.alarm, clock.now) + late, () => this.#ring(0));
  }

  #ring(failures: number): void {
    const { faults, random } = this.#stage;
    if (faults.strikes('alarm lost', 0.05)) {
      this.#stage.note('alarm', 'is lost');
      // Some are forgotten, others stay for ever in the past.
      if (random.chance(0.5)) this.disk.alarm = null;
    } else if (faults.strikes('alarm refused', 0.2)) {
      this.#ringAgain(failures);
    } else {
      void this.#deliverAlarm(failures);
    }
  }

  async #deliverAlarm(failures: number): Promise<void> {
    const process = (this.#process ??= this.#boot());
    if (!process.isReady) await process.ready;
    this.alarms += 1;
    const at = this.disk.alarm;
    this.disk.alarm = null;
    try {
      await this.invoke({ kind: 'alarm' }, (object) => object.alarm());
      this.#onAlarm();
    } catch (error) {
      // One that was set anew takes the place of the retries.
      if (this.disk.alarm !== null) return;
      this.disk.alarm = at;
      this.#ringAgain(error instanceof Dead ? 0 : failures);
    }
  }

  #ringAgain(failures: number): void {
    if (failures >= ALARM_RETRIES) {
      this.#stage.note('alarm', 'is dropped');
      this.disk.alarm = null;
      return;
    }
    const { clock, random } = this.#stage;
    const wait = 2000 * 2 ** failures * (1 + random.next() / 4);
    this.#alarmTimer = clock.after(wait, () => this.#ring(failures + 1));
  }
}
