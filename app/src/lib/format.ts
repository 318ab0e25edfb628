// Every number, size and time that the page shows, in the reader's own locale.

const percentFormat = new Intl.NumberFormat(undefined, {
  style: 'percent',
  maximumFractionDigits: 0,
});
const decimal = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const BYTE_UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;

/** 0–100, rounded down, so that 100 is shown only at the end. */
export function percent(value: number): string {
  return percentFormat.format(Math.floor(value) / 100);
}

export function bytes(size: number): string {
  const power = size < 1 ? 0 : Math.min(4, Math.floor(Math.log10(size) / 3));
  return new Intl.NumberFormat(undefined, {
    style: 'unit',
    unit: BYTE_UNITS[power] ?? 'byte',
    unitDisplay: power === 0 ? 'long' : 'short',
    maximumFractionDigits: power < 2 ? 0 : 1,
  }).format(size / 1000 ** power);
}

export function number(value: number): string {
  return decimal.format(value);
}

type TimeUnit = 'second' | 'minute' | 'hour';

function unitFormat(unit: TimeUnit): Intl.NumberFormat {
  return new Intl.NumberFormat(undefined, {
    style: 'unit',
    unit,
    unitDisplay: 'long',
    maximumFractionDigits: 0,
  });
}

/** Two estimates that are this close, as a ratio, are told as one. */
const CLOSE = 1.5;

/** "about 2 minutes left", or "2–5 minutes left" when nine times in ten is much later than half of the time. */
export function leftIn(ms: number, p90Ms = ms): string {
  if (p90Ms < SHORT_MS) return 'a few seconds left';
  const [soon, late] = [round(ms), round(p90Ms)];
  if (ms < SHORT_MS) return `up to ${roughly(p90Ms)} left`;
  const isClose = p90Ms <= CLOSE * ms || roughly(ms) === roughly(p90Ms);
  if (isClose) return `about ${roughly(ms)} left`;
  if (soon.unit !== late.unit) return `${roughly(ms)} to ${roughly(p90Ms)} left`;
  return `${unitFormat(soon.unit).formatRange(soon.value, late.value)} left`;
}

/** A rough length, as one says it: "5 seconds", "2 minutes". */
export function roughly(ms: number): string {
  if (ms < SHORT_MS) return 'a few seconds';
  const rounded = round(ms);
  return unitFormat(rounded.unit).format(rounded.value);
}

/** Shorter than this is not worth a number, ms. */
const SHORT_MS = 10_000;

/** As finely as one would say it. */
function round(ms: number): { value: number; unit: TimeUnit } {
  const seconds = ms / 1000;
  if (seconds < 55) return { value: Math.round(seconds / 5) * 5, unit: 'second' };
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return { value: minutes, unit: 'minute' };
  return { value: Math.round(minutes / 60), unit: 'hour' };
}

/** `0:03.2`, `12:40.0`, `1:02:03.5` from seconds. */
export function timecode(seconds: number): string {
  const tenths = Math.round(seconds * 10);
  const [h, m] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60];
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, '0');
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${rest}` : `${m}:${rest}`;
}

/** "2 minutes ago", from epoch ms. */
export function ago(then: number, now: number): string {
  const seconds = Math.min(0, Math.round((then - now) / 1000));
  if (seconds > -45) return relative.format(0, 'second');
  if (seconds > -2700) return relative.format(Math.round(seconds / 60), 'minute');
  if (seconds > -79_200) return relative.format(Math.round(seconds / 3600), 'hour');
  return relative.format(Math.round(seconds / 86_400), 'day');
}

/** A text from elsewhere as a sentence that another can follow. */
export function sentence(text: string): string {
  return /[.!?…]$/.test(text.trimEnd()) ? text.trimEnd() : `${text.trimEnd()}.`;
}

export function exactTime(then: number): string {
  return new Date(then).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}
