import { CONTENT_TYPE_OF, OutputManifest } from '@export-jobs/protocol';
import type { Container, Output } from '@export-jobs/protocol';
import * as v from 'valibot';
import { dispositionOf } from './r2.ts';

// Responsible for what is known of rendered files in R2: each carries the manifest of its renderer,
// written with it in one stroke, so that file and manifest are there together or not at all.

const Manifest = v.pipe(v.string(), v.maxLength(1000), v.parseJson(), OutputManifest);

/** What the renderer says of the file that it is about to store, or null when that makes no sense. */
export function parseManifest(header: string): OutputManifest | null {
  const parsed = v.safeParse(Manifest, header);
  return parsed.success ? parsed.output : null;
}

/**
 * What is stored with an output, so that the file proves itself. R2 keeps no SHA-256 of a file that came by
 * parts; of such a one the `checksum` of its parts was told before the first byte.
 */
export function storedWith(
  { contentType, filename }: { contentType: string; filename: string },
  manifest: OutputManifest,
  checksum: string | null,
): Pick<R2MultipartOptions, 'httpMetadata' | 'customMetadata'> {
  return {
    httpMetadata: { contentType, contentDisposition: dispositionOf(filename) },
    customMetadata: {
      filename,
      manifest: JSON.stringify(manifest),
      ...(checksum !== null && { checksum }),
    },
  };
}

/** A stored output as far as R2 itself vouches for it, or why it cannot be believed. */
export type Inspected = { ok: true; manifest: OutputManifest } | { ok: false; why: string };

/**
 * Compares a stored file with its manifest: size and checksum are R2's own.
 * @throws when R2 cannot be reached.
 */
export async function inspectOutput(bucket: R2Bucket, key: string): Promise<Inspected> {
  const object = await bucket.head(key);
  if (!object) return { ok: false, why: 'There is no file under this key.' };
  const manifest = parseManifest(object.customMetadata?.['manifest'] ?? '');
  if (!manifest) return { ok: false, why: 'The stored file has no manifest.' };
  if (object.size !== manifest.size) {
    return { ok: false, why: `The stored file has ${object.size} bytes.` };
  }
  if (!isIntact(object, manifest)) {
    return { ok: false, why: 'The stored file has another checksum.' };
  }
  return { ok: true, manifest };
}

/** Whether R2 itself reckons from the bytes what was told of them. */
function isIntact(object: R2Object, { sha256 }: OutputManifest): boolean {
  const checksum = object.customMetadata?.['checksum'];
  return checksum === undefined
    ? object.checksums.toJSON().sha256 === sha256
    : object.etag === checksum;
}

/** The output of a dispatched job. */
export function describeOutput(
  key: string,
  filename: string,
  container: Container,
  manifest: OutputManifest,
): Output {
  return { key, filename, container, content_type: CONTENT_TYPE_OF[container], ...manifest };
}
