// Responsible for the calls of an operator, which are no business of the client that browsers load.
import { ExportApiError, ExportTransportError } from '@export-jobs/client';
import type { Server } from './connect.ts';

const TIMEOUT_MS = 15_000;

/** An API key as the server shows it; times in epoch ms. */
export interface ApiKey {
  readonly id: string;
  readonly prefix: string;
  readonly name: string;
  readonly tenant: string;
  readonly rights: readonly string[];
  readonly plan: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly last_used_at: number | null;
  readonly revoked_at: number | null;
}

/**
 * One call. @returns the answer's body.
 * @throws ExportApiError when it is refused, ExportTransportError when nobody answers.
 */
export async function callServer(
  { url, token }: Server,
  [method, path]: ['GET' | 'POST' | 'DELETE', string],
  signal: AbortSignal,
  body?: object,
): Promise<unknown> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const headers = {
    ...(token !== null && { authorization: `Bearer ${token}` }),
    ...(body && { 'content-type': 'application/json' }),
  };
  const content = body && { body: JSON.stringify(body) };
  let response: Response;
  try {
    response = await fetch(`${url}${path}`, { method, headers, signal: limit, ...content });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new ExportTransportError('no answer', { cause: error });
  }
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new ExportApiError({ ...refusalOf(answer), status: response.status }, response.headers);
}

function refusalOf(answer: unknown) {
  const code = textOf(answer, 'code') ?? 'unexpected_response';
  const title = textOf(answer, 'title') ?? 'Unexpected answer';
  const detail = textOf(answer, 'detail');
  return { code, title, retryable: false, ...(detail !== null && { detail }) };
}

/** The key in an answer. @throws ExportApiError when there is none. */
export function keyIn(answer: unknown): ApiKey {
  const key = fieldOf(answer, 'key');
  if (isKey(key)) return key;
  throw unexpected();
}

/** The keys in an answer. @throws ExportApiError when there are none. */
export function keysIn(answer: unknown): readonly ApiKey[] {
  const data = fieldOf(answer, 'data');
  if (Array.isArray(data) && data.every(isKey)) return data;
  throw unexpected();
}

/** A text in an answer. @throws ExportApiError when there is none. */
export function textIn(answer: unknown, name: string): string {
  const text = textOf(answer, name);
  if (text !== null) return text;
  throw unexpected();
}

const unexpected = () =>
  new ExportApiError({
    title: 'Unexpected answer',
    status: 200,
    code: 'unexpected_response',
    retryable: false,
  });

function isKey(value: unknown): value is ApiKey {
  const texts = ['id', 'prefix', 'name', 'tenant', 'plan'];
  return (
    texts.every((name) => typeof fieldOf(value, name) === 'string') &&
    typeof fieldOf(value, 'created_at') === 'number' &&
    Array.isArray(fieldOf(value, 'rights'))
  );
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? new Map<string, unknown>(Object.entries(value)).get(name)
    : undefined;
}

function textOf(value: unknown, name: string): string | null {
  const field = fieldOf(value, name);
  return typeof field === 'string' ? field : null;
}
