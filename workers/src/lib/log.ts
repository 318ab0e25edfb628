/** Writes one line of JSON for people and alerts. Must never be given a secret. */
export function logError(msg: string, fields: Record<string, unknown>): void {
  console.error(JSON.stringify({ level: 'error', msg, ...fields }));
}
