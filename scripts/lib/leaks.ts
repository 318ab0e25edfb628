// Responsible for finding secrets in what was written: logs, answers, what a terminal shows.

/** The variable that names the folder where stacks that tests start leave a copy of what they write. */
export const LOGS = 'EXPORT_JOBS_TEST_LOGS';
/** The file there, with a secret that they are configured with in each line. */
export const KNOWN_SECRETS = 'secrets.txt';

/** What each kind of secret looks like, whole enough to be used by whoever reads it. */
const SECRETS: Readonly<Record<string, RegExp>> = {
  'a signed token': /\bej1\.[a-z0-9]+\.[\w-]{8,}\.[\w-]{40,}/,
  'an API key': /\bejk_[0-9a-z]{12}_[0-9a-z]{60}\b/,
  'a JWT': /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{20,}/,
  'a bearer’s token': /\bbearer\s+[\w.~+/-]{24,}/i,
  'a key of the configuration':
    /\b(SIGNING_KEYS|ID_KEY|API_KEY|RUNPOD_API_KEY)\b['"]?\s*[:=]\s*['"]?[\w:]{16,}/,
  'a signed address': /[?&]X-Amz-Signature=[0-9a-f]{64}/i,
};

export interface Leak {
  /** From 1. */
  readonly line: number;
  readonly kind: string;
  /** Where in that line: what stands before it, and never the secret. */
  readonly before: string;
}

/** Every secret in a text: whatever looks like one, and those that are known. */
export function leaksIn(text: string, known: readonly string[] = []): Leak[] {
  return text.split('\n').flatMap((line, i) => {
    const found = [
      ...Object.entries(SECRETS).map(([kind, form]) => ({ kind, at: line.search(form) })),
      ...known.map((secret) => ({ kind: 'a known secret', at: line.indexOf(secret) })),
    ];
    return found
      .filter(({ at }) => at >= 0)
      .map(({ kind, at }) => ({ line: i + 1, kind, before: leadTo(line, at) }));
  });
}

/** What stands before it in its line, in which there may be another one. */
function leadTo(line: string, at: number): string {
  return line.slice(Math.max(0, at - 40), at).replaceAll(/[\w.~+/-]{24,}/g, '…');
}
