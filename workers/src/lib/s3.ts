import { AwsV4Signer } from 'aws4fetch';

// Responsible for addresses of R2's S3 API that are signed here, without asking R2, and used elsewhere.

/** Keys of R2's S3 API, with which files go straight to and from a bucket. */
export interface R2Keys {
  readonly endpoint: string;
  readonly bucket: string;
  readonly access_key_id: string;
  readonly secret_access_key: string;
}

interface Presigned {
  readonly method: 'GET' | 'PUT';
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
  /** What the caller must send just so. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly ttlMs: number;
}

/** An address that lets whoever has it make this one call, until it expires. */
export async function presign(keys: R2Keys, call: Presigned): Promise<string> {
  const { method, key, query, headers = {}, ttlMs } = call;
  const path = key.split('/').map(encodeURIComponent).join('/');
  const url = new URL(`${keys.endpoint}/${keys.bucket}/${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  url.searchParams.set('X-Amz-Expires', `${Math.floor(ttlMs / 1000)}`);
  const signer = new AwsV4Signer({
    method,
    url: url.href,
    headers: { ...headers },
    accessKeyId: keys.access_key_id,
    secretAccessKey: keys.secret_access_key,
    service: 's3',
    region: 'auto',
    signQuery: true,
    // A length counts as one that proxies may change; here it must not.
    allHeaders: true,
  });
  return (await signer.sign()).url.href;
}
