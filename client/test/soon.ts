import { vi } from 'vitest';

/** Waits for an assertion to hold, for as long as a busy machine may take to get there. */
export const soon = <T>(check: () => T | Promise<T>, options: { interval?: number } = {}) =>
  vi.waitFor(check, { timeout: 20_000, ...options });
