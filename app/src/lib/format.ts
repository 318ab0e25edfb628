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

function unit(value: number, name: 'second' | 'minute' | 'hour'): string {
  return new Intl.NumberFormat(undefined, {
    style: 'unit',
    unit: name,
    unitDisplay: 'long',
    maximumFractionDigits: 0,
  }).format(value);
}

/** "about 2 minutes left". */
export function leftIn(ms: number): string {
  return ms < 10_000 ? 'a few seconds left' : `about ${roughly(ms)} left`;
}

/** A rough length, as one says it: "5 seconds", "2 minutes". */
export function roughly(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return 'a few seconds';
  if (seconds < 55) return unit(Math.round(seconds / 5) * 5, 'second');
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes < 60 ? unit(minutes, 'minute') : unit(Math.round(minutes / 60), 'hour');
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
