import { describe, expect, it } from 'vitest';
import { processes, processOf } from './processes.ts';

const status = (state: string, threads: number) =>
  `Name:\tUid:\t7\nUmask:\t0022\nState:\t${state}\nTgid:\t12\nPid:\t12\nPPid:\t1\n` +
  `Uid:\t50001\t50002\t50003\t50004\nGid:\t0\t0\t0\t0\nThreads:\t${threads}\n`;

describe('a process', () => {
  it('belongs to its real user', () => {
    expect(processOf(status('S (sleeping)', 1))).toEqual({ user: 50_001, isAlive: true });
  });

  it('is dead when it only waits to be buried, but not while any of its threads goes on', () => {
    expect(processOf(status('Z (zombie)', 1)).isAlive).toBe(false);
    expect(processOf(status('X (dead)', 1)).isAlive).toBe(false);
    expect(processOf(status('Z (zombie)', 2)).isAlive).toBe(true);
    for (const state of ['R (running)', 'T (stopped)', 't (tracing stop)', 'D (disk sleep)']) {
      expect(processOf(status(state, 1)).isAlive, state).toBe(true);
    }
  });

  it.skipIf(process.platform !== 'linux')('of our own is among all that there are', () => {
    expect(processes()).toContainEqual({ user: process.getuid?.(), isAlive: true });
  });
});
