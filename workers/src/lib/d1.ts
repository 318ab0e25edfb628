import { logError } from './log.ts';
import { Refusal } from './respond.ts';

// Responsible for what every statement to D1 has in common.

/** D1's own clock, epoch ms. */
export const NOW = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`;

/**
 * What a statement answers.
 * @throws Refusal `database_unavailable` when D1 cannot be reached.
 */
export async function reachable<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    logError('d1', { error: String(error) });
    throw new Refusal('database_unavailable');
  }
}
