import { ClaimBody, CompleteBody, ErrorBody, InitBody, ProgressBody } from '@export-jobs/protocol';
import { readBody } from './body.ts';

const BODIES = {
  init: InitBody,
  claim: ClaimBody,
  progress: ProgressBody,
  complete: CompleteBody,
  error: ErrorBody,
} as const;
export type CallName = keyof typeof BODIES;

/** One call of the contract, parsed. */
export type Call =
  | { name: 'init'; body: InitBody }
  | { name: 'claim'; body: ClaimBody }
  | { name: 'progress'; body: ProgressBody }
  | { name: 'complete'; body: CompleteBody }
  | { name: 'error'; body: ErrorBody };

/** Whether a path names a call of the contract. */
export function isCallName(name: string): name is CallName {
  return Object.hasOwn(BODIES, name);
}

/**
 * Reads and parses the body of a call.
 * @throws Refusal as `readBody`.
 */
export async function readCall(name: CallName, request: Request): Promise<Call> {
  switch (name) {
    case 'init':
      return { name, body: await readBody(request, BODIES.init) };
    case 'claim':
      return { name, body: await readBody(request, BODIES.claim) };
    case 'progress':
      return { name, body: await readBody(request, BODIES.progress) };
    case 'complete':
      return { name, body: await readBody(request, BODIES.complete) };
    case 'error':
      return { name, body: await readBody(request, BODIES.error) };
  }
}
