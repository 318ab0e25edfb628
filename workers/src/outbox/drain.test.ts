import { describe, expect, it } from 'vitest';
import { LEASE_MS, RetryLater, drainOutbox } from './drain.ts';
import type { Outcome, OutboxItem, OutboxPorts } from './drain.ts';

/** An outbox in memory under a clock that the test moves. */
function outboxOf(keys: string[], perform: (item: OutboxItem) => Promise<Outcome | void>) {
  const rows = new Map(keys.map((key) => [key, { key, version: 1, tries: 0, due: 0 }]));
  const reports: string[] = [];
  const clock = { now: 0 };
  const set = (item: OutboxItem, change: object) => Object.assign(rows.get(item.key) ?? {}, change);
  const ports: OutboxPorts = {
    now: () => clock.now,
    random: () => 0.5,
    lease(now, until) {
      const due = [...rows.values()].filter((row) => row.due !== null && row.due <= now);
      for (const row of due) row.due = until;
      return due.map(({ key, version, tries }) => ({ key, version, tries, interrupted: false }));
    },
    confirm(item, now) {
      if (rows.get(item.key)?.version === item.version) rows.delete(item.key);
      else set(item, { due: now, tries: 0 });
    },
    postpone: (item, due) => set(item, { due, tries: item.tries + 1 }),
    park: (item) => set(item, { due: null }),
    perform: async (item) => (await perform(item)) ?? null,
    report: (item, outcome) => reports.push(`${item.key} ${outcome}`),
  };
  return { rows, reports, clock, ports };
}

describe('draining the outbox', () => {
  it('removes an effect only when it was confirmed (I5b)', async () => {
    const done: string[] = [];
    const { rows, ports } = outboxOf(['mirror', 'dispatch'], async ({ key }) => {
      if (key === 'dispatch') throw new Error('down');
      done.push(key);
    });
    await drainOutbox(ports);
    expect(done).toEqual(['mirror']);
    expect([...rows.keys()]).toEqual(['dispatch']);
  });

  it('leases an effect before it starts, so that a second drain does not start it again', async () => {
    let started = 0;
    const { ports } = outboxOf(['mirror'], async () => {
      started += 1;
      await drainOutbox(ports);
    });
    await drainOutbox(ports);
    expect(started).toBe(1);
  });

  it('an effect that a crash interrupted is due again when its lease ends', async () => {
    const { ports, clock } = outboxOf(['mirror'], async () => undefined);
    expect(ports.lease(0, LEASE_MS)).toHaveLength(1);
    clock.now = LEASE_MS - 1;
    expect(ports.lease(clock.now, clock.now + LEASE_MS)).toHaveLength(0);
    clock.now = LEASE_MS;
    expect(ports.lease(clock.now, clock.now + LEASE_MS)).toHaveLength(1);
  });

  it('repeats an effect that was asked for again while it was under way', async () => {
    let runs = 0;
    const { rows, ports } = outboxOf(['mirror'], async () => {
      runs += 1;
      const row = rows.get('mirror');
      if (row && runs === 1) row.version += 1;
    });
    await drainOutbox(ports);
    expect(runs).toBe(2);
    expect(rows.size).toBe(0);
  });

  it('tells what it brought about only once it is confirmed, so that both are one commit', async () => {
    const left: number[] = [];
    const { rows, ports } = outboxOf(['dispatch'], async () => () => void left.push(rows.size));
    await drainOutbox(ports);
    expect(left).toEqual([0]);
  });

  it('waits longer after each failure, at first not less than an effect may take', async () => {
    const { rows, ports, clock } = outboxOf(['mirror'], () => Promise.reject(new Error('down')));
    const waits: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      await drainOutbox(ports);
      const due = rows.get('mirror')?.due ?? 0;
      waits.push(due - clock.now);
      clock.now = due;
    }
    expect(waits[0]).toBeGreaterThanOrEqual(LEASE_MS);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBeLessThanOrEqual(60_000);
  });

  it('waits as long as the other side asked for', async () => {
    const { rows, ports } = outboxOf(['dispatch'], () =>
      Promise.reject(new RetryLater('busy', 7000)),
    );
    await drainOutbox(ports);
    expect(rows.get('dispatch')?.due).toBe(7000);
  });

  it('waits longer than that when the other side asks for little again and again', async () => {
    const { rows, ports, clock } = outboxOf(['dispatch'], () =>
      Promise.reject(new RetryLater('busy', 1000)),
    );
    const waits: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      await drainOutbox(ports);
      const due = rows.get('dispatch')?.due ?? 0;
      waits.push(due - clock.now);
      clock.now = due;
    }
    expect(waits.slice(0, 3)).toEqual([1000, 2000, 4000]);
    expect(waits.at(-1)).toBe(60_000);
  });

  it('parks an effect after very many failures, says so twice, and keeps it', async () => {
    const { rows, ports, clock, reports } = outboxOf(['mirror'], () =>
      Promise.reject(new Error('down')),
    );
    while (rows.get('mirror')?.due !== null) {
      await drainOutbox(ports);
      clock.now = rows.get('mirror')?.due ?? clock.now;
    }
    expect(reports).toEqual(['mirror failing', 'mirror parked']);
    expect(rows.has('mirror')).toBe(true);
  });
});
