import { explain } from '@export-jobs/protocol';
import * as v from 'valibot';
import { Refusal } from './respond.ts';

/** No JSON body here is larger unless it lists parts, bytes. */
export const MAX_BODY = 64 * 1024;
/** Ten thousand parts, whose tags R2 may make as long as it likes. */
export const MAX_LIST = 4 * 1024 * 1024;

/**
 * Reads a JSON body and parses it with a schema; stops reading at `limit` bytes.
 * @throws Refusal 400, 413, 415 or 422.
 */
export async function readBody<S extends v.GenericSchema>(
  request: Request,
  schema: S,
  limit = MAX_BODY,
): Promise<v.InferOutput<S>> {
  const type = request.headers.get('content-type')?.split(';') ?? [];
  const charset = type[1]?.trim().toLowerCase() ?? 'charset=utf-8';
  if (
    type[0]?.trim().toLowerCase() !== 'application/json' ||
    !/^charset="?utf-8"?$/.test(charset)
  ) {
    throw new Refusal('unsupported_media_type');
  }
  const text = await readText(request, limit);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal('invalid_json');
  }
  // To the schemas a list is an object without fields.
  if (Array.isArray(value)) throw new Refusal('invalid_body', NO_OBJECT);
  return parseOr('invalid_body', schema, value);
}

const NO_OBJECT = {
  detail: '/: must be an object',
  errors: [{ pointer: '/', detail: 'must be an object' }],
};

/**
 * Parses a value with a schema.
 * @throws Refusal that points at each wrong field.
 */
export function parseOr<S extends v.GenericSchema>(
  code: 'invalid_body' | 'invalid_query',
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const errors = result.issues.slice(0, 20).map((issue) => ({
    pointer: `/${(v.getDotPath(issue) ?? '').replaceAll('.', '/').slice(0, 200)}`,
    detail: explain(issue).slice(0, 200),
  }));
  const [first] = errors;
  throw new Refusal(code, {
    ...(first && { detail: `${first.pointer}: ${first.detail}` }),
    errors,
  });
}

/**
 * Reads a small body as UTF-8, whatever it calls itself; stops reading at `limit` bytes.
 * @throws Refusal 400 or 413.
 */
export async function readText(request: Request, limit = MAX_BODY): Promise<string> {
  const length = request.headers.get('content-length');
  if (Number(length ?? 0) > limit) throw new Refusal('body_too_large');
  if (!request.body) return '';
  // A length that is small is believed by the platform too: such a body is read in one go.
  const bytes = await arrived<ArrayBuffer | Uint8Array>(
    length === null ? readChunks(request.body, limit) : readWhole(request, limit),
  );
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Refusal('invalid_json', { detail: 'The body is not UTF-8.' });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/** A body that ends half-way is its sender's fault, who may still be listening. */
async function arrived<T>(body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal('invalid_json', { detail: 'The body was cut off.' });
  }
}

async function readWhole(request: Request, limit: number): Promise<ArrayBuffer> {
  const bytes = await request.arrayBuffer();
  if (bytes.byteLength > limit) throw new Refusal('body_too_large');
  return bytes;
}

async function readChunks(chunks: AsyncIterable<Uint8Array>, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.byteLength;
    if (size > limit) throw new Refusal('body_too_large');
    parts.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
