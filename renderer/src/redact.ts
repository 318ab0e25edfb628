/** An error as a log or a report may show it: its message without addresses, tokens and paths. */
export function redact(error: unknown): string {
  const text = error instanceof Error ? describe(error) : String(error);
  return text
    .replaceAll(/\b[a-z][a-z0-9+.-]*:\/\/\S+/gi, '<url>')
    .replaceAll(/\bej[a-z0-9]*[._][\w.~+/=-]+/gi, '<token>')
    .replaceAll(/\b(bearer|authorization:?)\s+\S+/gi, '$1 <token>')
    .replaceAll(/(?<![\w<])(?:file:)?\/[\w.@+-]+(?:\/[\w.@+-]*)+/g, '<path>')
    .slice(0, 2000);
}

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message}${cause}`;
}
