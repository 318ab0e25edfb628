import { ExportJobState } from '../../src/durable-objects/ExportJobState.ts';
import type { Env } from '../../src/lib/env.ts';
import { Dead } from '../stage.ts';
import type { Cause, Stage } from '../stage.ts';
import type { Disk } from './disk.ts';
import { pretend } from './pretend.ts';
import { BROKEN } from './sockets.ts';
import type { Socket } from './sockets.ts';
import { Storage } from './storage.ts';

/** After this many failures the platform drops an alarm without a word. */
const ALARM_RETRIES = 6;

/** The platform does not put an object to sleep so soon after it was used, ms; really it is ten seconds. */
const DROWSY_MS = 1000;

interface Surroundings {
  readonly env: Env;
  readonly stage: Stage;
  /** Called after every write. */
  readonly onCommit: () => void;
  /** Called when what was written without a pause is on disk, all of it at once. */
  readonly onTurn: () => void;
  /** Called when an alarm has been heard out. */
  readonly onAlarm: () => void;
  /** A text has come in on a socket: it must be delivered to the object. */
  readonly onText: (socket: Socket, text: string) => void;
  /** The object has heard out that a socket was closed. */
  readonly onClosed: (socket: Socket) => void;
  /** The process is gone, and with it what it knew. */
  readonly onForgotten: (how: 'crash' | 'sleep') => void;
}

/** One life of the object in memory. */
interface Process extends Life {
  readonly object: ExportJobState;
  readonly ready: Promise<unknown>;
}

interface Life {
  isReady: boolean;
  isDead: boolean;
  /** Calls and effects under way. */
  busy: number;
  /** The end of the turn that has written something; null while nothing is. */
  turn: Promise<void> | null;
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
  /** Why the object is running now; null while it goes on after a pause. */
  cause: Cause | null = null;
  /** Whether the platform has dropped the alarm that was set last. */
  hasLostAlarm = false;
  readonly #env: Env;
  readonly #stage: Stage;
  readonly #around: Surroundings;
  readonly #sockets = new Map<Socket, readonly string[]>();
  #process: Process | null = null;
  #usedAt = 0;
  #alarmTimer: { cancel(): void } | null = null;
  /** Whether an alarm is being heard out, and whether the next one waits for that. */
  #isRinging = false;
  #isNextDue = false;

  constructor(name: string, disk: Disk, around: Surroundings) {
    this.name = name;
    this.disk = disk;
    this.#env = around.env;
    this.#stage = around.stage;
    this.#around = around;
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
    this.#usedAt = this.#stage.clock.now;
    try {
      this.cause = cause;
      const answer = entrance(process.object);
      this.cause = null;
      if (answer instanceof Promise) return await this.#outlive(process, answer);
      // No answer leaves before what it says is on disk.
      await process.turn;
      if (process.isDead) throw new Dead();
      return answer;
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
    const sockets = [...this.#sockets.keys()];
    this.#sockets.clear();
    for (const socket of sockets) {
      // Nobody tells the next process; the other end notices.
      socket.abandon();
      socket.wire.break(this.#stage.clock, this.#stage.random);
    }
    for (const tell of process.onDeath) tell();
    this.#around.onForgotten('crash');
  }

  /** Drops the object from memory if it is idle; its sockets survive. */
  evict(): void {
    if (!this.#process || this.#process.busy > 0) return;
    if (this.#stage.clock.now < this.#usedAt + DROWSY_MS) return;
    this.#stage.note('object', 'is evicted');
    this.#process.isDead = true;
    this.#process = null;
    this.#around.onForgotten('sleep');
  }

  /** The sockets with a tag; which of them are about to go is told by their state. */
  socketsOf(tag?: string): Socket[] {
    const all = [...this.#sockets];
    return all.filter(([, tags]) => !tag || tags.includes(tag)).map(([socket]) => socket);
  }

  #boot(): Process {
    const life: Life = { isReady: false, isDead: false, busy: 0, turn: null, onDeath: new Set() };
    const ready: Promise<unknown>[] = [];
    const storage = new Storage(this.disk, {
      assertAlive: () => this.#assertAlive(life),
      beforeCommit: () => {
        this.#assertAlive(life);
        if (!life.turn) this.#perhapsCrash('crash before commit');
        this.#assertAlive(life);
      },
      afterCommit: () => {
        this.#around.onCommit();
        life.turn ??= this.#endTurn(life);
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
      acceptWebSocket: (socket: Socket, tags: readonly string[]) => this.#accept(socket, tags),
      getWebSockets: (tag?: string) => this.socketsOf(tag),
      setWebSocketAutoResponse: () => undefined,
    };
    const object = new ExportJobState(pretend(context), this.#env);
    const process: Process = Object.assign(life, { object, ready: Promise.all(ready) });
    void process.ready.then(() => (process.isReady = true));
    return process;
  }

  #accept(socket: Socket, tags: readonly string[]): void {
    this.#sockets.set(socket, tags);
    socket.listen({
      message: (text) => this.#sockets.has(socket) && this.#around.onText(socket, text),
      close: (code) => void this.#tellClosed(socket, code),
    });
  }

  async #tellClosed(socket: Socket, code: number): Promise<void> {
    if (!this.#sockets.has(socket)) return;
    // One that is gone is sometimes no longer listed when its end is told.
    if (this.#stage.random.chance(0.5)) this.#sockets.delete(socket);
    const ended = pretend<WebSocket>(socket);
    try {
      await this.invoke({ kind: 'close' }, (object) => {
        if (code !== BROKEN) return object.webSocketClose(ended, code, '');
        return object.webSocketError(ended);
      });
      this.#sockets.delete(socket);
      this.#around.onClosed(socket);
    } catch (error) {
      if (!(error instanceof Dead)) throw error;
    }
  }

  async #await(life: Life, effect: Promise<unknown>): Promise<void> {
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

  #assertAlive(life: Life): void {
    if (life.isDead) throw new Dead();
  }

  /** What is written without a pause is one commit: a crash comes before or after all of it. */
  async #endTurn(life: Life): Promise<void> {
    await Promise.resolve();
    life.turn = null;
    if (life.isDead) return;
    this.#around.onTurn();
    this.#perhapsCrash('crash after commit');
  }

  #perhapsCrash(fault: 'crash before commit' | 'crash after commit'): void {
    if (this.#stage.faults.strikes(fault, 0.03)) this.kill();
  }

  #setAlarmTimer(): void {
    this.#alarmTimer?.cancel();
    this.#alarmTimer = null;
    this.hasLostAlarm = false;
    if (this.disk.alarm === null) return;
    const { clock, random, faults } = this.#stage;
    const late = faults.strikes('alarm late', 0.3) ? random.int(0, 60_000) : random.int(0, 20);
    this.#alarmTimer = clock.at(Math.max(this.disk.alarm, clock.now) + late, () => this.#ring(0));
  }

  /** Whether the alarm that was set last will fire, as far as anybody can know. */
  get isAlarmSafe(): boolean {
    return !this.hasLostAlarm && !this.#isRinging;
  }

  #ring(failures: number): void {
    if (this.#isRinging) {
      this.#isNextDue = true;
      return;
    }
    const { faults, random } = this.#stage;
    if (faults.strikes('alarm lost', 0.05)) {
      this.#stage.note('alarm', 'is lost');
      this.hasLostAlarm = true;
      // Some are forgotten, others stay for ever in the past.
      if (random.chance(0.5)) this.disk.alarm = null;
    } else if (faults.strikes('alarm refused', 0.2)) {
      this.#ringAgain(failures);
    } else {
      void this.#deliverAlarm(failures);
    }
  }

  async #deliverAlarm(failures: number): Promise<void> {
    this.#isRinging = true;
    this.#isNextDue = false;
    const process = (this.#process ??= this.#boot());
    if (!process.isReady) await process.ready;
    const at = this.disk.alarm;
    this.disk.alarm = null;
    try {
      await this.invoke({ kind: 'alarm' }, (object) => object.alarm());
      this.#isRinging = false;
      this.#around.onAlarm();
      if (this.#isNextDue) this.#setAlarmTimer();
    } catch (error) {
      this.#isRinging = false;
      // One that was set anew takes the place of the retries.
      if (this.disk.alarm !== null) return this.#setAlarmTimer();
      this.disk.alarm = at;
      this.#ringAgain(error instanceof Dead ? 0 : failures);
    }
  }

  #ringAgain(failures: number): void {
    if (failures >= ALARM_RETRIES) {
      this.#stage.note('alarm', 'is dropped');
      this.hasLostAlarm = true;
      this.disk.alarm = null;
      return;
    }
    const { clock, random } = this.#stage;
    const wait = 2000 * 2 ** failures * (1 + random.next() / 4);
    this.#alarmTimer = clock.after(wait, () => this.#ring(failures + 1));
  }
}
