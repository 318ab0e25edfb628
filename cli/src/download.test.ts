import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { complete } from '../test/jobs.ts';
import { saveOutput } from './download.ts';
import { EXIT } from './exit.ts';
import { safeName } from './files.ts';

const BYTES = Buffer.from('0123456789'.repeat(5000));
const sha256 = createHash('sha256').update(BYTES).digest('hex');

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-cli-'));
  file = path.join(folder, 'out.mp4');
});
afterEach(async () => await rm(folder, { recursive: true }));

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Downloads from a server that gives these answers in turn, the last one again and again. */
async function saveFrom(
  answers: Answer[],
  { job = complete({ size: BYTES.length, sha256 }), force = false } = {},
) {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(ranges.length, answers.length - 1)];
    ranges.push(request.headers.range);
    answer?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const client = {
    getExport: async () => job,
    downloadUrl: () => `http://127.0.0.1:${port}/file`,
  };
  const { signal } = new AbortController();
  try {
    const task = { job, file, force, signal, onProgress: () => undefined, backoffMs: 1 };
    return { saved: await saveOutput(client, task), ranges };
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const whole: Answer = (_request, response) => response.end(BYTES);
const cut: Answer = (_request, response) => {
  response.writeHead(200, { 'content-length': BYTES.length, etag: '"1"' });
  response.write(BYTES.subarray(0, 20_000), () => response.destroy());
};
const rest: Answer = (request, response) => {
  const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
  response.writeHead(206, { etag: '"1"' }).end(BYTES.subarray(from));
};
const status =
  (code: number): Answer =>
  (_request, response) =>
    response.writeHead(code).end();

describe('a download', () => {
  it('is saved when it is the file of the job, and leaves nothing else', async () => {
    const { saved } = await saveFrom([whole]);
    expect(saved).toEqual({ file, size: BYTES.length, sha256 });
    expect(await readFile(file)).toEqual(BYTES);
    expect(await readdir(folder)).toEqual(['out.mp4']);
  });

  it('goes on where a lost connection stopped', async () => {
    const { saved, ranges } = await saveFrom([cut, rest]);
    expect(saved.sha256).toBe(sha256);
    expect(ranges[0]).toBeUndefined();
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('starts again when ranges are not given, or the file is another one', async () => {
    expect((await saveFrom([cut, whole])).saved.sha256).toBe(sha256);
    await rm(file);
    expect((await saveFrom([cut, status(412), whole])).saved.sha256).toBe(sha256);
  });

  it.each([
    ['bytes instead of', { size: BYTES.length + 1, sha256 }],
    ['SHA-256', { size: BYTES.length, sha256: 'f'.repeat(64) }],
  ])('of which the job says something else is not saved: %s', async (word, output) => {
    const failure = saveFrom([whole], { job: complete(output) });
    await expect(failure).rejects.toMatchObject({ exit: EXIT.local });
    await expect(failure).rejects.toThrow(word);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is saved unjudged when the job knows neither', async () => {
    expect((await saveFrom([whole], { job: complete() })).saved.sha256).toBe(sha256);
  });

  it('never takes the name of a file that came meanwhile, unless that is wished', async () => {
    const meanwhile: Answer = (_request, response) => {
      void writeFile(file, 'mine').then(() => response.end(BYTES));
    };
    await expect(saveFrom([meanwhile])).rejects.toMatchObject({ exit: EXIT.usage });
    expect(await readFile(file, 'utf8')).toBe('mine');
    expect(await readdir(folder)).toEqual(['out.mp4']);
    await saveFrom([whole], { force: true });
    expect(await readFile(file)).toEqual(BYTES);
  });

  it.each([
    [404, EXIT.notFound],
    [403, EXIT.refused],
  ])('that is refused with %d ends with %d', async (code, exit) => {
    await expect(saveFrom([status(code)])).rejects.toMatchObject({ exit });
    expect(await readdir(folder)).toEqual([]);
  });

  it('is given up after some failures', async () => {
    await expect(saveFrom([status(503)])).rejects.toMatchObject({ exit: EXIT.unreachable });
  });
});

describe('the name of a file from elsewhere', () => {
  it.each([
    ['film.mp4', 'film.mp4'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\autoexec.bat', 'autoexec.bat'],
    ['.bashrc', 'bashrc'],
    ['..', 'export'],
    ['a\nb\x1b.mp4', 'a_b_.mp4'],
  ])('%j becomes %j', (name, safe) => expect(safeName(name)).toBe(safe));
});
