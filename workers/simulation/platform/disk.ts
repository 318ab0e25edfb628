/** What survives a crash of one object: its key-value pairs and its alarm. */
export class Disk {
  kv = new Map<string, unknown>();
  /** When the alarm is to fire, epoch ms; null when none is set. */
  alarm: number | null = null;

  /** Runs a closure; what it wrote, the alarm too, is undone when it throws. */
  transaction<T>(closure: () => T): T {
    const { kv, alarm } = this;
    this.kv = new Map(kv);
    try {
      return closure();
    } catch (error) {
      this.kv = kv;
      this.alarm = alarm;
      throw error;
    }
  }

  /** Forgets everything, as `deleteAll` does. */
  clear(): void {
    this.kv = new Map();
    this.alarm = null;
  }

  get isEmpty(): boolean {
    return this.kv.size === 0;
  }
}
