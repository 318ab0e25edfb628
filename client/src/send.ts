// What sends: uploads and creations. The client loads this when it is needed, so that who only watches
// does not carry it.
import type { CreateReply, ExportOptionsInput } from '@export-jobs/protocol';
import type { Created, CreateOptions } from './client.ts';
import { isCreateReply } from './guards.ts';
import { jsonOf, pathOf, type Http } from './http.ts';
import { uploadFile, type UploadSource } from './upload.ts';

export { uploadFile } from './upload.ts';

/** Uploads when given a file, then creates the job; both under one key, whatever has to be repeated. */
export async function createExport(
  http: Http,
  input: UploadSource | { upload_id: string },
  options: ExportOptionsInput = {},
  how: CreateOptions = {},
): Promise<Created> {
  const { signal, tags, maxDollars: max_dollars, onUploadProgress: onProgress } = how;
  const key = how.idempotencyKey ?? crypto.randomUUID();
  let upload_id: string;
  if ('upload_id' in input) upload_id = input.upload_id;
  else {
    const upload = await uploadFile(http, input, { onProgress, signal });
    how.onUploaded?.(upload);
    upload_id = upload.upload_id;
  }
  const reply = await http.callSafely('/api/jobs', isCreateReply, {
    ...jsonOf({ input: { upload_id }, options, tags, max_dollars }, { 'idempotency-key': key }),
    signal,
  });
  return { ...reply, upload_id };
}

/** A new job like one that failed or was cancelled. Safe to repeat: the server makes one alone. */
export function retryExport(http: Http, jobId: string): Promise<CreateReply> {
  return http.callSafely(`${pathOf(jobId)}/retry`, isCreateReply, { method: 'POST', jobId });
}
