import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { inRoot } from '../../scripts/lib/paths.ts';
import { CONFIG } from '../../scripts/lib/wrangler.ts';
import type { StackOptions } from '../../scripts/stack.ts';
import type { R2Keys } from '../../workers/src/lib/s3.ts';
import { temporaryFolder } from './stack.ts';

const KEYS = { access_key_id: 'an-access-key', secret_access_key: 'a-secret-access-key' };
const BUCKET = 'export-jobs-videos';

/** Where the local runtime answers as R2's S3 API does: it checks signatures, lengths and checksums. */
export const S3_PATH = `/cdn-cgi/local/r2/s3/${BUCKET}/`;

/** A stack whose Worker has keys of the S3 API of its own bucket, and those keys. */
export async function withS3(): Promise<{ options: StackOptions; keys: R2Keys }> {
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}${S3_PATH.replace(`/${BUCKET}/`, '')}`;
  const keys = { endpoint, bucket: BUCKET, ...KEYS };
  const workerCode = { config: await configWithS3() };
  return { keys, options: { port, workerCode, workerEnv: { R2_S3: JSON.stringify(keys) } } };
}

/** The Worker's own configuration, and keys for the local S3 API. */
async function configWithS3(): Promise<string> {
  const folder = path.join(await temporaryFolder('s3'), 'workers');
  await mkdir(folder);
  await symlink(inRoot('workers', 'migrations'), path.join(folder, 'migrations'));
  const credentials = `{ "accessKeyId": "${KEYS.access_key_id}", "secretAccessKey": "${KEYS.secret_access_key}" }`;
  const changes: [string, string][] = [
    ['"src/index.ts"', `"${inRoot('workers', 'src', 'index.ts')}"`],
    ['"../app/dist"', `"${inRoot('app', 'dist')}"`],
    ['"../node_modules/', `"${inRoot('node_modules')}/`],
    [
      `"bucket_name": "${BUCKET}"`,
      `"bucket_name": "${BUCKET}", "local_dev": { "experimental_s3_credentials": ${credentials} }`,
    ],
  ];
  let text = await readFile(CONFIG, 'utf8');
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`the Worker's configuration has no ${from}`);
    text = text.replace(from, () => to);
  }
  const config = path.join(folder, 'wrangler.jsonc');
  await writeFile(config, text);
  return config;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port is free');
  return address.port;
}
