import type { Created } from './client.ts';

/** Where a creation stands. `sent` and `size` in bytes; `resumed` of those that were sent had come from an earlier page. */
export type CreateState =
  | { phase: 'idle' }
  | { phase: 'uploading'; sent: number; size: number; resumed: number }
  | { phase: 'creating'; upload_id: string | null }
  | { phase: 'created'; upload_id: string | null; reply: Created }
  /** `upload_id` is set when the bytes arrived, so that they need not be sent again. */
  | { phase: 'failed'; upload_id: string | null; error: Error };

export type CreateEvent =
  | { type: 'start'; size: number | null }
  | { type: 'sent'; sent: number }
  | { type: 'resumed'; sent: number }
  | { type: 'uploaded'; upload_id: string }
  | { type: 'created'; reply: Created }
  | { type: 'failed'; error: Error }
  | { type: 'reset' };

export function nextCreateState(state: CreateState, event: CreateEvent): CreateState {
  const upload_id = 'upload_id' in state ? state.upload_id : null;
  switch (event.type) {
    case 'start':
      return event.size === null
        ? { phase: 'creating', upload_id: null }
        : { phase: 'uploading', sent: 0, size: event.size, resumed: 0 };
    case 'sent':
      // A repeated upload starts over; the bar must not.
      return state.phase === 'uploading'
        ? { ...state, sent: Math.max(state.sent, event.sent) }
        : state;
    case 'resumed':
      return state.phase === 'uploading' ? { ...state, resumed: event.sent } : state;
    case 'uploaded':
      return { phase: 'creating', upload_id: event.upload_id };
    case 'created':
      return { phase: 'created', upload_id: event.reply.upload_id, reply: event.reply };
    case 'failed':
      return { phase: 'failed', upload_id, error: event.error };
    case 'reset':
      break;
  }
  return { phase: 'idle' };
}
