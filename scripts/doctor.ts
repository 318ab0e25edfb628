// `npm run doctor`: says what this machine has of what the project needs, and what to do about the
// rest. Exit code 1 when something essential is missing.
import { execFileSync } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { inspectFfmpeg } from '../renderer/src/ffmpeg/locate.ts';
import { holderOf, DEFAULT_DATA_DIR } from './lib/data-dir.ts';
import { inRoot, ROOT } from './lib/paths.ts';
import { isPortFree } from './lib/port.ts';
import { run, runNode } from './lib/run.ts';
import { formatBytes } from '../cli/src/text.ts';
import { paint } from './lib/terminal.ts';
import { WRANGLER, WRANGLER_ENV } from './lib/wrangler.ts';
import { DEFAULT_PORT } from './stack.ts';

interface Finding {
  readonly what: string;
  /** `bad` is essential; `poor` is something that one may live with. */
  readonly state: 'good' | 'poor' | 'bad';
  readonly text: string;
}
type Check = () => Promise<Omit<Finding, 'what'>>;

const MIN_FREE_BYTES = 2e9;

const CHECKS: Readonly<Record<string, Check>> = {
  Node: async () => ({ state: 'good', text: `${process.version} (${process.execPath})` }),
  npm: async () => versionOf(await run('npm', ['--version'])),
  wrangler: async () => versionOf(await runNode([WRANGLER, '--version'], { env: WRANGLER_ENV })),
  workerd: async () =>
    versionOf(await run(inRoot('node_modules', '.bin', 'workerd'), ['--version'])),
  ffmpeg: checkFfmpeg,
  port: checkPort,
  disk: checkDisk,
  Chromium: checkChromium,
};

const findings = await Promise.all(
  Object.entries(CHECKS).map(async ([what, check]): Promise<Finding> => {
    try {
      return { what, ...(await check()) };
    } catch (error) {
      return { what, state: 'bad', text: error instanceof Error ? error.message : String(error) };
    }
  }),
);
const MARK = { good: paint('green', '✓'), poor: paint('yellow', '!'), bad: paint('red', '✗') };
for (const { what, state, text } of findings) {
  console.log(`${MARK[state]} ${what.padEnd(9)} ${text.replaceAll('\n', `\n${' '.repeat(12)}`)}`);
}
const isBad = findings.some(({ state }) => state === 'bad');
console.log(isBad ? '\nSomething essential is missing: see ✗.' : '\nReady: npm start');
process.exitCode = isBad ? 1 : 0;

function versionOf({ code, output }: { code: number | null; output: string }) {
  const text = output.trim().split('\n').at(-1) ?? '';
  if (code === 0) return { state: 'good', text } as const;
  return {
    state: 'bad',
    text: `does not run: ${text}\nRemove node_modules and run npm ci.`,
  } as const;
}

async function checkFfmpeg(): ReturnType<Check> {
  const { tools, from, version, encoders, missing, canToneMap } = await inspectFfmpeg();
  const working = Object.values(encoders).flat();
  const lines = [`${version} from ${from} (${tools.ffmpeg})`, `encoders: ${working.join(', ')}`];
  if (missing.length > 0) lines.push(`cannot make: ${missing.join(', ')}`);
  if (!canToneMap) lines.push('cannot bring HDR to the standard range');
  // An mp4 with sound is the default export: without it there is nothing to show.
  const essential = missing.includes('h264') || missing.includes('aac');
  if (essential) lines.push('Install a full build: apt install ffmpeg, or brew install ffmpeg.');
  const isComplete = missing.length === 0 && canToneMap;
  return { state: essential ? 'bad' : isComplete ? 'good' : 'poor', text: lines.join('\n') };
}

async function checkPort(): ReturnType<Check> {
  const holder = await holderOf(DEFAULT_DATA_DIR);
  if (holder) return { state: 'good', text: `running at ${holder.url} (process ${holder.pid})` };
  if (await isPortFree(DEFAULT_PORT)) return { state: 'good', text: `${DEFAULT_PORT} is free` };
  const text = `${DEFAULT_PORT} is taken by another program: npm start -- --port ${DEFAULT_PORT + 1}`;
  return { state: 'poor', text };
}

async function checkDisk(): ReturnType<Check> {
  const { bavail, bsize } = await statfs(ROOT);
  const free = bavail * bsize;
  const text = `${formatBytes(free)} free`;
  if (free >= MIN_FREE_BYTES) return { state: 'good', text };
  return { state: 'poor', text: `${text}: an export needs about three times its source` };
}

/** Only the browser tests need it. */
async function checkChromium(): ReturnType<Check> {
  try {
    const { default: chromium } = await import('@sparticuz/chromium');
    const version = execFileSync(await chromium.executablePath(), ['--version'])
      .toString()
      .trim();
    return { state: 'good', text: `${version} (for the browser tests)` };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return { state: 'poor', text: `does not run, so the browser tests cannot: ${reason}` };
  }
}
