// What the bench knows of a contestant.
import type { Door } from '../client/socket.ts';

/** One way to do the same work. */
export interface Contestant {
  readonly name: string;
  /** Whether each acknowledged report reaches each viewer; else some may be skipped for a newer one. */
  readonly promisesAll: boolean;
  /** @throws Absent when it cannot be had on this machine. */
  start(folder: string): Promise<Server>;
}

/** A running server, alone in its processes. */
export interface Server {
  /** The processes that serve; their CPU and memory are the server's. */
  readonly pids: readonly number[];
  /** Makes a job that can be reported on. */
  openJob(): Promise<Job>;
  /** What only servers with objects have. */
  readonly objects?: Objects;
  close(): Promise<void>;
}

export interface Objects {
  /** Makes the first call to an object that never was; the caller measures how long it takes. */
  callNew(): Promise<void>;
  /** Takes the object of a job out of memory. */
  evict(job: Job): Promise<void>;
  /** Ends the process and starts it again on the same data. */
  restart(): Promise<void>;
}

export interface Job {
  readonly id: string;
  /** Where its viewers watch. */
  readonly door: Door;
  /** Connects its renderer, which may have so many reports in flight. */
  reporter(window: number): Promise<Reporter>;
  /** Fails it for good, by POST: the end that needs no file. */
  end(): Promise<void>;
}

export interface Reporter {
  /** Makes the next report, stamped with the time of sending; resolves when it is acknowledged. */
  report(): Promise<void>;
  close(): void;
}

/** Why a contestant does not take part. */
export class Absent extends Error {}
