// Responsible for the outputs of a renderer, in one piece and by parts, as R2 and the server keep them together.
import { createHash, randomBytes } from 'node:crypto';
import {
  OutputCompleteRequest,
  OutputManifest,
  OutputPartsRequest,
  OutputUploadRequest,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { ok, refusal, type Answer } from './server-http.ts';

const Manifest = v.pipe(v.string(), v.parseJson(), OutputManifest);

type Headers = Readonly<Record<string, string>>;
type Begun = OutputUploadRequest & { readonly epoch: number; readonly parts: Map<number, Buffer> };

export interface Stored {
  readonly epoch: number;
  readonly size: number;
  readonly sha256: string;
}

const md5 = (bytes: Buffer): Buffer => createHash('md5').update(bytes).digest();
/** Not the MD5, so that nobody passes who makes tags up. */
const tagOf = (bytes: Buffer): string => `tag-${md5(bytes).toString('hex').slice(0, 8)}`;

/** What was stored. */
export class OutputStore {
  /** The file that was stored last. */
  stored: Stored | undefined;
  readonly #begun = new Map<string, Begun>();

  /** A whole file in one request. */
  put(epoch: number, headers: Headers, raw: Buffer): Answer {
    if (this.stored?.epoch === epoch) return refusal('output_exists');
    if (headers['content-length'] === undefined) return refusal('length_required');
    const manifest = v.safeParse(Manifest, headers['x-export-manifest']);
    if (!manifest.success) return refusal('invalid_body');
    return this.#keep(epoch, manifest.output, raw) ? ok({}) : refusal('upload_mismatch');
  }

  begin(epoch: number, body: unknown): Answer {
    if (!v.is(OutputUploadRequest, body)) return refusal('invalid_body');
    if (this.stored?.epoch === epoch) return refusal('output_exists');
    const upload = randomBytes(8).toString('hex');
    this.#begun.set(upload, { ...body, epoch, parts: new Map() });
    return { ...ok({ upload, expires_at: Date.now() + 60_000 }), status: 201 };
  }

  /** @param store where parts go to. */
  addresses(epoch: number, body: unknown, store: string): Answer {
    if (!v.is(OutputPartsRequest, body)) return refusal('invalid_body');
    if (this.#begun.get(body.upload)?.epoch !== epoch) return refusal('upload_not_found');
    const parts = body.numbers.map((number) => ({
      number,
      url: `${store}/${body.upload}/${number}`,
    }));
    return ok({ parts, expires_at: Date.now() + 60_000 });
  }

  /** A part, as R2 takes it. */
  part(path: string, headers: Headers, raw: Buffer): Answer {
    const [, , upload = '', number] = path.split('/');
    const begun = this.#begun.get(upload);
    if (!begun) return refusal('upload_not_found');
    const said = headers['content-md5'];
    if (said !== undefined && said !== md5(raw).toString('base64')) {
      return refusal('checksum_mismatch');
    }
    begun.parts.set(Number(number), raw);
    return { status: 200, headers: { etag: `"${tagOf(raw)}"` }, body: undefined };
  }

  finish(epoch: number, body: unknown): Answer {
    if (!v.is(OutputCompleteRequest, body)) return refusal('invalid_body');
    const begun = this.#begun.get(body.upload);
    if (begun?.epoch !== epoch) return refusal('upload_not_found');
    const parts = body.parts
      .toSorted((a, b) => a.number - b.number)
      .map(({ number, etag }) => ({ etag, bytes: begun.parts.get(number) ?? Buffer.alloc(0) }));
    const whole = Buffer.concat(parts.map(({ bytes }) => bytes));
    const checksum = md5(Buffer.concat(parts.map(({ bytes }) => md5(bytes)))).toString('hex');
    const isRight =
      parts.every(({ etag, bytes }) => etag === tagOf(bytes)) &&
      begun.checksum === `${checksum}-${parts.length}`;
    return isRight && this.#keep(epoch, begun.manifest, whole)
      ? ok({})
      : refusal('upload_mismatch');
  }

  #keep(epoch: number, said: OutputManifest, raw: Buffer): boolean {
    const sha256 = createHash('sha256').update(raw).digest('hex');
    if (said.sha256 !== sha256 || said.size !== raw.length) return false;
    this.stored = { epoch, size: raw.length, sha256 };
    return true;
  }
}
