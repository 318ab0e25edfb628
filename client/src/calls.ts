// What sends and what lists. The client loads this when it is needed, so that who only watches does not
// carry it.
import type { CreateReply, ExportJob, ExportOptionsInput, ListReply } from '@export-jobs/protocol';
import type { Created, CreateOptions, ExportInput, ListOptions } from './client.ts';
import { isCreateReply, isListReply } from './guards.ts';
import { jsonOf, pathOf, withQuery, type Guard, type Http } from './http.ts';
import { uploadFile } from './upload.ts';

export { uploadFile } from './upload.ts';

/** Uploads when given a file, then creates the job; both under one key, whatever has to be repeated. */
export async function createExport(
  http: Http,
  input: ExportInput,
  options: ExportOptionsInput = {},
  how: CreateOptions = {},
): Promise<Created> {
  const { signal, tags, maxDollars: max_dollars, onUploadProgress: onProgress } = how;
  const { onResume, pause, store } = how;
  const key = how.idempotencyKey ?? crypto.randomUUID();
  const named = async () => {
    if ('upload_id' in input || 'url' in input) return input;
    const upload = await uploadFile(http, input, { onProgress, onResume, signal, pause, store });
    how.onUploaded?.(upload);
    return { upload_id: upload.upload_id };
  };
  const source = await named();
  const reply = await http.callSafely('/api/jobs', isCreateReply, {
    ...jsonOf({ input: source, options, tags, max_dollars }, { 'idempotency-key': key }),
    signal,
  });
  return { ...reply, upload_id: 'upload_id' in source ? source.upload_id : null };
}

/** One page of the list. Safe to repeat. */
export function listExports(
  http: Http,
  { signal, ...filter }: ListOptions = {},
): Promise<ListReply> {
  return http.callSafely(withQuery('/api/jobs', filter), isListReply, { signal });
}

/** Jobs on one page when all are read. */
const PAGE = 100;

/** The pages of the list, newest first. Ends with the first failure: nothing is repeated. */
export async function* pagesOf(
  http: Http,
  { tag, signal }: Pick<ListOptions, 'tag' | 'signal'>,
): AsyncGenerator<readonly ExportJob[], void, undefined> {
  for (let cursor: string | null | undefined; cursor !== null;) {
    const path = withQuery('/api/jobs', { tag, limit: PAGE, cursor });
    const page = await http.call(path, isListReply, { signal });
    yield page.data;
    cursor = page.next_cursor;
  }
}

/** A new job like one that failed or was cancelled. Safe to repeat: the server makes one alone. */
export function retryExport(http: Http, jobId: string): Promise<CreateReply> {
  return http.callSafely(`${pathOf(jobId)}/retry`, isCreateReply, { method: 'POST', jobId });
}

const isEmpty: Guard<undefined> = (value) => value === undefined;

/** Forgets a job that has ended, with its file. Safe to repeat. */
export async function deleteExport(http: Http, jobId: string): Promise<void> {
  await http.callSafely(pathOf(jobId), isEmpty, { method: 'DELETE', jobId });
}
