/**
 * Microseconds of the machine's monotonic clock, which all of its processes share: what one stamps, another
 * may subtract. Whole numbers, so that a stamp survives as digits in a message.
 */
export function microseconds(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1000);
}
