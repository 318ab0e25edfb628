import * as v from 'valibot';

const PATIENCE_MS = 20_000;

/**
 * One call that is not measured, with JSON both ways.
 * @throws when it is refused or the answer is not what the schema says.
 */
export async function call<S extends v.GenericSchema>(
  url: string,
  schema: S,
  { token, body, method = 'POST' }: { token?: string; body?: unknown; method?: string } = {},
): Promise<v.InferOutput<S>> {
  const response = await fetch(url, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return v.parse(schema, JSON.parse(text));
}
