// Holds the image to the truth without a container engine: lays out the files that the Dockerfile
// copies, runs its npm command among them, and starts its command as a worker of the stand-in.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startStandIn } from '../src/runpod/stand-in/index.ts';
import { startFakeServer } from './fake-server.ts';
import { ffmpeg, IN_SECONDS, PICTURE_AND_TONE, Studio } from './media.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const KEY = 'rp-secret-key';
const run = promisify(execFile);
/** The program of this very process first: on a laptop, `node` alone may be an older one. */
const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter);

type Instruction = readonly [name: string, rest: string];
const dockerfile = parseDockerfile(await readFile(join(ROOT, 'renderer', 'Dockerfile'), 'utf8'));
const isSent = parseDockerignore(await readFile(join(ROOT, '.dockerignore'), 'utf8'));

function parseDockerfile(text: string): Instruction[] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n');
  return lines.filter(Boolean).map((line): Instruction => {
    const [name = '', ...rest] = line.split(/\s+/);
    return [name, rest.join(' ')];
  });
}

function all(name: string): string[] {
  return dockerfile.filter(([found]) => found === name).map(([, rest]) => rest);
}

/** Docker's rule: a pattern stands for a path and all below it, and the last that fits decides. */
function parseDockerignore(text: string): (path: string) => boolean {
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
  const rules = lines.map((line) => {
    const regex = line
      .replace(/^!/, '')
      .replaceAll('.', '\\.')
      .replaceAll(/\*\*\/|\*/g, (star) => (star === '*' ? '[^/]*' : '(?:.*/)?'));
    return { sent: line.startsWith('!'), sign: new RegExp(`^${regex}(/|$)`) };
  });
  return (path) => rules.findLast(({ sign }) => sign.test(path))?.sent ?? true;
}

/** The files at a path of the build context that a builder is sent, as paths from the root. */
async function sentFiles(path: string): Promise<string[]> {
  if (!isSent(path)) return [];
  if ((await stat(join(ROOT, path))).isFile()) return [path];
  const names = await readdir(join(ROOT, path));
  return (await Promise.all(names.map((name) => sentFiles(`${path}/${name}`)))).flat();
}

/** Carries out one COPY or RUN npm as a builder would, with `app` for the image's folder. */
async function build(app: string, [name, rest]: Instruction): Promise<void> {
  if (name === 'RUN' && rest.startsWith('npm ')) {
    // A laptop has the packages already; without them, npm asks its registry.
    const env = { ...process.env, PATH, npm_config_prefer_offline: 'true' };
    await run('sh', ['-c', rest], { cwd: app, env });
  }
  if (name !== 'COPY') return;
  const sources = rest.split(' ');
  const target = sources.pop() ?? '';
  for (const source of sources) {
    const files = await sentFiles(source);
    if (files.length === 0) throw new Error(`a builder is not sent ${source}`);
    for (const file of files) {
      const below = target.endsWith('/') ? file.split('/').at(-1) : file.slice(source.length);
      await mkdir(dirname(join(app, target, below ?? '')), { recursive: true });
      await copyFile(join(ROOT, file), join(app, target, below ?? ''));
    }
  }
}

const CudaVersions = v.array(v.pipe(v.string(), v.regex(/^\d+\.\d+$/)));
/** What the hub's guide asks of the two files, as far as ours use it. */
const Hub = v.object({
  title: v.string(),
  description: v.string(),
  type: v.literal('serverless'),
  category: v.picklist(['audio', 'embedding', 'language', 'video', 'image']),
  config: v.object({
    runsOn: v.literal('GPU'),
    containerDiskInGb: v.number(),
    gpuCount: v.literal(1),
    gpuIds: v.string(),
    allowedCudaVersions: CudaVersions,
  }),
});
const HubTests = v.object({
  tests: v.array(v.object({ name: v.string(), input: v.looseObject({}), timeout: v.number() })),
  config: v.object({
    gpuTypeId: v.string(),
    gpuCount: v.number(),
    allowedCudaVersions: CudaVersions,
  }),
});
const inHub = async <T extends v.GenericSchema>(name: string, schema: T) =>
  v.parse(schema, JSON.parse(await readFile(join(ROOT, '.runpod', name), 'utf8')));

describe('the image’s Dockerfile', () => {
  it('takes the Node that the tests run under, and is root, so that its tools can be nobody', async () => {
    const manifest = await readFile(join(ROOT, 'package.json'), 'utf8');
    const Manifest = v.object({ devDependencies: v.object({ node: v.string() }) });
    const { node } = v.parse(v.pipe(v.string(), v.parseJson(), Manifest), manifest).devDependencies;
    expect(`v${node}`).toBe(process.version);
    expect(all('FROM')).toEqual([`node:${node}-trixie-slim`]);
    expect(all('USER')).toEqual(['root']);
    expect(all('STOPSIGNAL')).toEqual(['SIGTERM']);
  });

  it('takes no job where ffmpeg would be root or have a network', () => {
    expect(all('ENV').join(' ')).toMatch(/\bRENDERER_REQUIRE_CONFINED=1\b/);
  });

  it('has an init that hands signals on to the worker and buries what tools leave behind', () => {
    expect(all('ENTRYPOINT')).toEqual(['["tini", "--"]']);
    expect(all('RUN').join(' ')).toMatch(/apt-get install [^&]*\btini\b/);
  });

  it('asks for the driver’s encoder library, without which every export would be made in software', () => {
    expect(all('ENV').join(' ')).toMatch(/NVIDIA_DRIVER_CAPABILITIES=\S*\bvideo\b/);
  });

  it('sends a builder nothing that may be secret', () => {
    for (const path of ['.git/config', '.data/secrets.json', '.env', 'workers/.dev.vars']) {
      expect(isSent(path), path).toBe(false);
    }
  });
});

describe('the hub’s files', () => {
  it('ask for GPUs that have an encoder, of drivers that this ffmpeg can use', async () => {
    const { config } = await inHub('hub.json', Hub);
    // RunPod's pools but those of A100, H100 and H200, which have no NVENC.
    const pools = ['AMPERE_16', 'AMPERE_24', 'AMPERE_48', 'ADA_24', 'ADA_48_PRO'];
    expect(config.gpuIds.split(',').filter((pool) => !pools.includes(pool))).toEqual([]);
    // Debian 13's ffmpeg needs the driver 530.41.03; CUDA 12.2 came with 535.
    const tooOld = config.allowedCudaVersions.filter((version) => Number(version) < 12.2);
    expect(tooOld).toEqual([]);
    const tested = (await inHub('tests.json', HubTests)).config;
    expect(tested.allowedCudaVersions).toEqual(config.allowedCudaVersions);
  });
});

describe.skipIf(!ffmpeg)('what the Dockerfile makes', () => {
  let app: string;
  let studio: Studio;
  beforeAll(async () => {
    studio = await Studio.open();
    app = await mkdtemp(join(tmpdir(), 'renderer-image-'));
    for (const instruction of dockerfile) await build(app, instruction);
  });
  afterAll(async () => {
    await studio.close();
    await rm(app, { recursive: true, force: true });
  });

  it('holds the renderer, the protocol and what they need, and nothing else', async () => {
    const inApp = (path: string) => readdir(join(app, path));
    expect((await inApp('.')).toSorted()).toEqual([
      'node_modules',
      'package-lock.json',
      'package.json',
      'protocol',
      'renderer',
    ]);
    const packages = (await inApp('node_modules')).filter((name) => !name.startsWith('.'));
    expect(packages.toSorted()).toEqual(['@export-jobs', 'valibot']);
    expect((await inApp('node_modules/@export-jobs')).toSorted()).toEqual(['protocol', 'renderer']);
    const sources = await readdir(join(app, 'renderer'), { recursive: true });
    expect(sources.filter((path) => /\.test\.ts$|\btest\b|stand-in/.test(path))).toEqual([]);
  });

  it('exports a film, answers what the hub asks, and leaves without waiting for its poll', async () => {
    const film = await readFile(await studio.make('film.mp4', PICTURE_AND_TONE(1)));
    const server = await startFakeServer({ source: film });
    const queue = await startStandIn({ port: 0, apiKey: KEY, holdMs: 60_000 });
    const [command = '', ...args] = v.parse(
      v.pipe(v.string(), v.parseJson(), v.array(v.string())),
      all('CMD').join(''),
    );
    const env = { PATH, RENDERER_TMP: studio.root, ...queue.workerEnv('w1') };
    const worker = spawn(command, args, { cwd: app, env, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    worker.stdout.on('data', (part) => (said += String(part)));
    const outcome = async (input: unknown) => await ask(queue.url, input, () => said);
    try {
      expect(await outcome(server.ticket)).toMatchObject({
        status: 'COMPLETED',
        output: { complete: true },
      });
      for (const { input } of (await inHub('tests.json', HubTests)).tests) {
        expect(await outcome(input)).toMatchObject({
          status: 'FAILED',
          error: 'the input is not a render ticket',
        });
      }
      const startedAt = performance.now();
      worker.kill('SIGTERM');
      if (worker.exitCode === null) await once(worker, 'exit');
      expect(worker.exitCode).toBe(0);
      expect(performance.now() - startedAt).toBeLessThan(IN_SECONDS);
    } finally {
      worker.kill('SIGKILL');
      await queue.close();
      await server.close();
    }
  });
});

/** Submits a job and waits for its end; without one, tells what the worker said. */
async function ask(url: string, input: unknown, said: () => string): Promise<unknown> {
  const headers = { authorization: `Bearer ${KEY}` };
  const body = JSON.stringify({ input });
  const reply = await fetch(`${url}/v2/local/run`, { method: 'POST', headers, body });
  const { id } = v.parse(v.object({ id: v.string() }), await reply.json());
  return await vi.waitFor(
    async () => {
      const response = await fetch(`${url}/v2/local/status/${id}`, { headers });
      const view = v.parse(v.looseObject({ status: v.string() }), await response.json());
      expect(view.status, said()).toMatch(/COMPLETED|FAILED/);
      return view;
    },
    { timeout: 60_000, interval: 50 },
  );
}
