// Responsible for what goes wrong with one viewer's wire, and when.
import { setTimeout as sleep } from 'node:timers/promises';
import type { WireFault } from './plan.ts';
import type { Wire } from './wire.ts';

export class Storm {
  /** What was done to connections, by kind. */
  readonly suffered = new Map<string, number>();
  readonly #over = new AbortController();

  /** Lets these faults come at their times, counted from `atMs`; none after the end or `calm`. */
  blow(wire: Wire, faults: readonly WireFault[], atMs: number, isOver: () => boolean): void {
    for (const fault of faults) void this.#suffer(fault, wire, fault.at - atMs, isOver);
  }

  /** Nothing goes wrong any more; what is frozen stays so. */
  calm(): void {
    this.#over.abort();
  }

  async #suffer(
    fault: WireFault,
    wire: Wire,
    waitMs: number,
    isOver: () => boolean,
  ): Promise<void> {
    await this.#pause(Math.max(0, waitMs));
    if (this.#over.signal.aborted || isOver()) return;
    if (strike(fault, wire)) {
      this.suffered.set(fault.kind, (this.suffered.get(fault.kind) ?? 0) + 1);
    }
    if (!('ms' in fault)) return;
    await this.#pause(fault.ms);
    wire.heal();
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#over.signal }).catch(() => undefined);
  }
}

/** @returns whether it met anything, as far as that can be told. */
function strike(fault: WireFault, wire: Wire): boolean {
  switch (fault.kind) {
    case 'cut':
      return wire.cut() > 0;
    case 'freeze':
      return wire.freeze() > 0;
    case 'swallow':
      wire.door = fault.kind;
      return wire.freeze() > 0;
    case 'refuse':
    case 'unavailable':
      wire.door = fault.kind;
      // Only who must dial finds the door closed.
      return wire.cut() > 0;
    case 'delay':
      wire.weather = { delayMs: fault.byMs, isSlow: false };
      return true;
    case 'trickle':
      wire.weather = { delayMs: 0, isSlow: true };
      return true;
  }
}
