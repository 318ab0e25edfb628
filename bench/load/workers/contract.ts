// What the contract's viewers are told, for the contestants that only pass it on.

/** The body of a call by the contract; nothing is checked, as nothing would be in the least server. */
export interface Body {
  progress?: number;
  message?: string;
  error?: string;
}

/** The message that a call makes. */
export function messageOf(call: string, job_id: string, body: Body): object {
  if (call === 'error') return { type: 'error', job_id, error: body.error };
  return { type: 'progress', job_id, progress: body.progress, message: body.message };
}
