import * as v from 'valibot';

const PROBE_TIMEOUT_MS = 5000;
const Health = v.object({ ok: v.literal(true), service: v.literal('export-jobs') });

/** Whether a server on this port answers at all, whatever it says. */
export async function answers(port: number): Promise<boolean> {
  return (await healthOf(port)) !== undefined;
}

/** Whether this project's Worker is what answers on this port, and well. */
export async function isOurs(port: number): Promise<boolean> {
  return v.is(Health, await healthOf(port));
}

async function healthOf(port: number): Promise<unknown> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    const text = await response.text();
    try {
      return v.parse(v.pipe(v.string(), v.parseJson()), text);
    } catch {
      return text;
    }
  } catch {
    return undefined;
  }
}
