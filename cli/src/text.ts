// Responsible for small pieces of text: bytes, times, colours, and what others wrote.

const COLOURS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
/** Colours a text, or leaves it as it is. */
export type Paint = (colour: keyof typeof COLOURS, text: string) => string;

/** Colours only for a terminal, and not where `NO_COLOR` is set to something. */
export function painter(isTerminal: boolean, env: { readonly NO_COLOR?: string }): Paint {
  if (!isTerminal || env.NO_COLOR) return (_colour, text) => text;
  return (colour, text) => `\x1b[${COLOURS[colour]}m${text}\x1b[0m`;
}

/** A text of unknown origin, such as a file's name, without what could steer a terminal. */
export function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/gu, '\uFFFD');
}

/** Bytes as people read them: `12.3 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** A length of time: `0:07`, `12:30`, `1:02:03`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** A moment in this machine's time zone: `2026-11-25 21:34:07`. */
export function formatTime(ms: number): string {
  // Sweden writes dates as ISO does.
  return new Date(ms).toLocaleString('sv-SE');
}
