/**
 * Writes one event. `requestId` is the job's id. Must never be given a token or an address with a
 * query.
 */
export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/**
 * The log of a process: lines of JSON on standard output, in the shape that RunPod's own worker
 * writes there (`requestId`, `message`, `level` in capitals: rp_logger.py), then the other fields.
 */
export const log: Log = (level, message, { requestId = null, ...fields } = {}) => {
  const line = { requestId, message, level: level.toUpperCase(), time: new Date(), ...fields };
  process.stdout.write(`${JSON.stringify(line)}\n`);
};

/** What went wrong with a call, without its address: addresses may carry secrets. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const cause: unknown = error.cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  return code ?? error.name;
}
