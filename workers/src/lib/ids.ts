import type { Settings } from './env.ts';
import { idTag } from './tokens.ts';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const JOB_ID = /^job_([0-9a-z]{26})_([0-9a-f]{8})$/;
/** What an id may look like at all; in development any such id can be made by hand. */
const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** 26 characters of Crockford's base 32 from 130 random bits. */
export function randomId(): string {
  return encode(crypto.getRandomValues(new Uint8Array(26)));
}

/** The same from a text: equal texts give equal ids. */
export async function derivedId(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return encode(new Uint8Array(digest).subarray(0, 26));
}

/** Turns a bare id into a job's id with our tag. */
export function jobId(idKey: string, bare: string): string {
  return `job_${bare}_${idTag(idKey, bare)}`;
}

/** Whether an id can be of a job of ours; `byHand` also allows ids that people make up. */
export function isJobId(idKey: string, id: string, byHand: boolean): boolean {
  const [, bare = '', tag = ''] = JOB_ID.exec(id) ?? [];
  if (bare !== '') return idTag(idKey, bare) === tag;
  return byHand && SAFE_ID.test(id);
}

/** Whether an id can only be of a job by hand: one of ours is in D1 before anybody is told its id. */
export function isByHand(settings: Pick<Settings, 'DEVELOPMENT' | 'ID_KEY'>, id: string): boolean {
  return settings.DEVELOPMENT === '1' && !isJobId(settings.ID_KEY, id, false);
}

function encode(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => ALPHABET[byte % 32]).join('');
}
