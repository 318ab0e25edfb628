/** Something that will happen; `cancel` makes it not happen. */
export interface Timer {
  readonly at: number;
  cancel(): void;
}

interface Task {
  at: number;
  order: number;
  run: (() => void) | null;
}

/** Virtual time: a queue of what happens next. Equal times happen in the order of asking. */
export class Clock {
  now: number;
  #order = 0;
  /** A binary heap, the earliest first. */
  readonly #heap: Task[] = [];

  constructor(now: number) {
    this.now = now;
  }

  /** Has something happen after a while, ms. */
  after(ms: number, run: () => void): Timer {
    return this.at(this.now + ms, run);
  }

  /** Has something happen at a moment, epoch ms; what is past happens next. */
  at(at: number, run: () => void): Timer {
    // As on the platform, time is in whole milliseconds.
    const task: Task = { at: Math.max(Math.ceil(at), this.now), order: this.#order++, run };
    this.#push(task);
    return {
      at: task.at,
      cancel: () => {
        task.run = null;
      },
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets the next thing happen; false when nothing is left before `until`. */
  step(until: number): boolean {
    for (;;) {
      const [task] = this.#heap;
      if (!task || task.at > until) return false;
      this.#pop();
      if (!task.run) continue;
      this.now = task.at;
      task.run();
      return true;
    }
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(task);
    while (i > 0) {
      const above = (i - 1) >> 1;
      const parent = heap[above];
      if (!parent || precedes(parent, task)) break;
      heap[i] = parent;
      i = above;
    }
    heap[i] = task;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let i = 0;
    for (;;) {
      const child = this.#earlierChild(i);
      const task = heap[child];
      if (!task || precedes(last, task)) break;
      heap[i] = task;
      i = child;
    }
    heap[i] = last;
  }

  #earlierChild(i: number): number {
    const [left, right] = [this.#heap[2 * i + 1], this.#heap[2 * i + 2]];
    return left && right && precedes(right, left) ? 2 * i + 2 : 2 * i + 1;
  }
}

function precedes(a: Task, b: Task): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
