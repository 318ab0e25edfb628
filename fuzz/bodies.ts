// Responsible for right bodies, and what is wrong in each of their fields.
import { FAILURE_CODES, JOB_STATUSES, MAX_FILE_BYTES, STAGES } from '@export-jobs/protocol';
import {
  COUNT,
  FLAG,
  HINT,
  NAME,
  NOT_A_TEXT,
  NUMBER,
  PERCENT,
  SHA256,
  between,
  oneOf,
  orNull,
  someOf,
  text,
  type Field,
} from './catalogue.ts';
import {
  CHECKSUM,
  LARGE,
  MAX_LIST,
  OF_PARTS,
  PARTS,
  PARTS_CHECKSUM,
  PART_NUMBERS,
} from './parts.ts';

/** A right body. */
export interface Body {
  readonly value: object;
  /** By dotted path. */
  readonly fields: Readonly<Record<string, Field>>;
  /** The fields that must be there. */
  readonly required: readonly string[];
  /** The objects that may have no field that is not known, by path; the body itself is ''. */
  readonly strict: readonly string[];
  /** As long as it may be, bytes, where that is not the usual length. */
  readonly max?: number;
}

const FENCE = { epoch: NUMBER, seq: NUMBER };
const LABEL = text(1, 200);
/** A tag may be made of dots alone. */
const TAG = NAME.filter((value) => value !== '".."');
const FILENAME = text(1, 255, [' ', '\r\n']);
const SIDE = between(2, 8192, ['3', '7', '100.5', '0']);
const SECONDS = between(0, 86_400);
/** What is not an object with all of the fields that must be there. */
const NO_OBJECT = ['null', '1', '"x"', 'true', '[]', '{}', '[{}]'];
const MANIFEST = {
  size: 5,
  sha256: '0'.repeat(64),
  width: 2,
  height: 2,
  duration_ms: 1,
  frames: 1,
};
const OF_MANIFEST = {
  'manifest.size': NUMBER,
  'manifest.sha256': SHA256,
  'manifest.width': COUNT,
  'manifest.height': COUNT,
  'manifest.duration_ms': COUNT,
  'manifest.frames': COUNT,
};

/** What may be asked of an export, whatever it is made from. */
const EXPORT = {
  options: { container: 'mp4', trim: { start: 1, end: 2 } },
  tags: ['a'],
  max_dollars: 1,
};
const OF_EXPORT = {
  input: [...NO_OBJECT, `{"url":"https://a.example.org/","upload_id":"upl_${'0'.repeat(26)}"}`],
  options: ['null', '1', '"mp4"', 'true', '[1]'],
  'options.container': oneOf('mp4', 'webm', 'mov', 'gif'),
  'options.codec': [...oneOf('h264', 'hevc', 'av1'), '"vp9"'],
  'options.width': SIDE,
  'options.height': SIDE,
  'options.fit': oneOf('contain', 'cover', 'stretch'),
  'options.fps': [...HINT, '0', '0.99', '60.01', '61', '1e9'],
  'options.quality': between(1, 100),
  'options.mute': FLAG,
  'options.trim': ['null', '1', '"1-2"', 'true', '{"start":2,"end":2}', '{"start":2,"end":1}'],
  'options.trim.start': [...SECONDS, '2', '3'],
  'options.trim.end': [...SECONDS, '0', '1'],
  tags: ['null', '"a"', '{}', '1', '["a","a"]', `[${'"a",'.repeat(8)}"a"]`],
  'tags.0': TAG,
  max_dollars: [...HINT, '0', '0.00001', '10000.1', '1e9'],
};
/** An address that is not asked for anything, as no renderer runs. */
export const SOURCE_URL = 'https://media.example.org/film.mp4';

/** The token of an output by parts, as text alone. */
const UPLOAD = text(1, 2000);

export const BODIES = {
  key: (): Body => ({
    value: { name: 'n', tenant: 'acme', rights: ['read'], plan: 'default', expires_at: 1 },
    fields: {
      name: text(1, 100, [' ', '\n\t']),
      tenant: NAME,
      rights: [...someOf(['read']), '[]'],
      plan: NAME,
      expires_at: COUNT,
    },
    required: ['name'],
    strict: [''],
  }),
  upload: (): Body => ({
    value: { filename: 'a.mp4', size: 5, content_type: 'video/mp4' },
    fields: {
      filename: FILENAME,
      size: between(0, MAX_FILE_BYTES),
      content_type: text(1, 255),
    },
    required: ['filename', 'size'],
    strict: [''],
  }),
  parts: (): Body => ({
    value: { numbers: [1, 2] },
    fields: { numbers: PART_NUMBERS },
    required: ['numbers'],
    strict: [''],
  }),
  completeUpload: (): Body => ({
    value: { parts: PARTS, checksum: PARTS_CHECKSUM },
    fields: { ...OF_PARTS, checksum: CHECKSUM },
    required: ['checksum', ...Object.keys(OF_PARTS)],
    strict: ['', 'parts.0'],
    max: MAX_LIST,
  }),
  create: (upload_id: string): Body => ({
    value: { input: { upload_id }, ...EXPORT },
    fields: {
      ...OF_EXPORT,
      'input.upload_id': [
        ...NAME,
        `"${upload_id.toUpperCase()}"`,
        `"${upload_id}0"`,
        `"${upload_id}/.."`,
      ],
    },
    required: ['input', 'input.upload_id'],
    strict: ['', 'input', 'options', 'options.trim'],
  }),
  createFromUrl: (): Body => ({
    value: { input: { url: SOURCE_URL, filename: 'a.mp4' }, ...EXPORT },
    fields: {
      ...OF_EXPORT,
      'input.url': [...NOT_A_TEXT, JSON.stringify(`${SOURCE_URL}${'x'.repeat(2048)}`)],
      'input.filename': FILENAME,
    },
    required: ['input', 'input.url'],
    strict: ['', 'input', 'options', 'options.trim'],
  }),
  token: (): Body => ({
    value: { rights: ['watch'], ttl_s: 60 },
    fields: {
      rights: [...someOf(['watch']), '[]', '["admin"]'],
      ttl_s: [...between(1, 86_400), '0'],
    },
    required: [],
    strict: [''],
  }),
  feedToken: (): Body => ({
    value: { tag: 'a' },
    fields: { tag: TAG },
    required: [],
    strict: [''],
  }),
  init: (id: string): Body => ({
    value: { id, status: 'processing', progress: 10 },
    fields: {
      id: text(1, 128, ['other', `${id} `, `../${id}`]),
      // A job cannot begin with its end.
      status: [...oneOf(...JOB_STATUSES), '"complete"', '"error"', '"cancelled"'],
      progress: PERCENT,
    },
    required: ['id', 'status', 'progress'],
    strict: [],
  }),
  claim: (nonce: string): Body => ({
    // Of another job at the provider: the claim of a twin, which is refused should all else be right.
    value: { nonce, provider_job_id: 'twin', worker_id: 'w', hardware: 'cpu' },
    fields: {
      nonce: text(8, 64),
      provider_job_id: orNull(LABEL),
      worker_id: orNull(LABEL),
      hardware: LABEL,
    },
    required: ['nonce', 'provider_job_id', 'worker_id'],
    strict: [],
  }),
  progress: (epoch: number): Body => ({
    value: {
      epoch,
      seq: 1000,
      progress: 50,
      message: 'm',
      stage: 'rendering',
      fps: 1,
      speed: 1,
      eta_ms: 1,
    },
    fields: {
      ...FENCE,
      progress: PERCENT,
      message: text(0, 1000),
      stage: oneOf(...STAGES),
      fps: HINT,
      speed: HINT,
      eta_ms: HINT,
    },
    required: ['progress', 'epoch', 'seq'],
    strict: [],
  }),
  complete: (epoch: number, output_video_key: string): Body => ({
    value: {
      epoch,
      seq: 1000,
      output_video_key,
      manifest: MANIFEST,
    },
    fields: { ...FENCE, output_video_key: text(1, 1024), manifest: NO_OBJECT, ...OF_MANIFEST },
    required: ['output_video_key', 'epoch', ...Object.keys(OF_MANIFEST)],
    strict: [],
  }),
  beginOutput: (): Body => ({
    value: { manifest: { ...MANIFEST, size: LARGE }, checksum: PARTS_CHECKSUM },
    fields: { manifest: NO_OBJECT, ...OF_MANIFEST, checksum: CHECKSUM },
    required: ['manifest', 'checksum', ...Object.keys(OF_MANIFEST)],
    strict: [''],
  }),
  outputParts: (upload: string): Body => ({
    value: { upload, numbers: [1, 2] },
    fields: { upload: UPLOAD, numbers: PART_NUMBERS },
    required: ['upload', 'numbers'],
    strict: [''],
  }),
  completeOutput: (upload: string): Body => ({
    value: { upload, parts: PARTS },
    fields: { upload: UPLOAD, ...OF_PARTS },
    required: ['upload', ...Object.keys(OF_PARTS)],
    strict: ['', 'parts.0'],
    max: MAX_LIST,
  }),
  error: (epoch: number): Body => ({
    value: { epoch, seq: 1000, error: 'e', code: 'renderer_error', should_retry: true },
    fields: { ...FENCE, error: text(1, 4000), code: oneOf(...FAILURE_CODES), should_retry: FLAG },
    required: ['error', 'epoch'],
    strict: [],
  }),
} as const;

const MARK = '"@@here@@"';

/** The text of a body with other JSON text in one of its fields, or without that field. */
export function withField({ value }: Body, path: string, json: string | null): string {
  const copy = structuredClone(value);
  const names = path.split('.');
  const last = names.pop() ?? '';
  const parent = within(copy, names);
  if (json === null) Reflect.deleteProperty(parent, last);
  else Reflect.set(parent, last, '@@here@@');
  return JSON.stringify(copy).replace(MARK, () => json ?? '');
}

/** The text of a body with one more field in one of its objects, by path, as its first or its last. */
export function withMore(body: Body, path: string, json: string, first: boolean): string {
  const inner = JSON.stringify(within(body.value, path === '' ? [] : path.split('.')));
  const made = first ? `{${json},${inner.slice(1)}` : `${inner.slice(0, -1)},${json}}`;
  return path === '' ? made : withField(body, path, made);
}

/** The object in an object, by the names on the way. */
function within(value: object, names: readonly string[]): object {
  return names.reduce((at: object, name) => {
    const inner: unknown = Reflect.get(at, name);
    if (typeof inner !== 'object' || inner === null)
      throw new Error(`no object: ${names.join('.')}`);
    return inner;
  }, value);
}
