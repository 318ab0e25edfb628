import type { CreateRequest, ExportJob } from '@export-jobs/protocol';
import type { Limits } from '../access/plans.ts';
import type { Env, Settings } from '../lib/env.ts';
import { inputUrl, nameAt } from '../lib/input-url.ts';
import { objectOf } from '../lib/object.ts';
import { inputKey, reach } from '../lib/r2.ts';
import { Refusal } from '../lib/respond.ts';

// What a job is made from: a file that was uploaded here, or one on another server.

type Input = CreateRequest['input'];
type UrlInput = Extract<Input, { url: string }>;

/** The input as a job keeps it. @throws Refusal when it is not there, or may not be read. */
export async function inputOf(
  env: Env,
  settings: Settings,
  { tenant, limits }: { tenant: string; limits: Limits },
  input: Input,
) {
  return isByUrl(input)
    ? foreignInput(settings, limits, input)
    : await uploadedInput(env, tenant, input);
}

/** The input of a job, to be named once more; an address on another server is known as long as its object. */
export async function inputAgain(
  env: Env,
  tenant: string,
  { id, upload_id, filename }: ExportJob,
): Promise<Input | null> {
  if (upload_id !== null) return { upload_id };
  const url = await objectOf(env, id).inputUrl(tenant);
  return url === null ? null : { url, ...(filename !== null && { filename }) };
}

function isByUrl(input: Input): input is UrlInput {
  return 'url' in input;
}

async function uploadedInput(env: Env, tenant: string, { upload_id }: Exclude<Input, UrlInput>) {
  const key = inputKey(tenant, upload_id);
  const object = await reach(env.VIDEOS.head(key));
  if (!object) throw new Refusal('input_not_found');
  const filename = object.customMetadata?.['filename'] ?? 'video';
  return { kind: 'upload', key, etag: object.etag, size: object.size, filename } as const;
}

function foreignInput(settings: Settings, limits: Limits, { url: address, filename }: UrlInput) {
  const url = inputUrl(address, settings);
  const maxBytes = limits.max_upload_bytes;
  return { kind: 'url', url, filename: filename ?? nameAt(url), maxBytes } as const;
}
