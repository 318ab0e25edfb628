// Responsible for running `scripts/<command>.ts` from a fresh clone: it installs what
// package-lock.json asks for, then hands over to the Node of node_modules. It must run on Node 20
// without any dependency, so it is plain JavaScript and knows nothing of the commands.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const LOCAL_BIN = path.join(ROOT, 'node_modules', '.bin');
const INSTALL_LOCK = path.join(ROOT, '.data', 'install.lock');
/** An installing process touches its lock once a second; one untouched for this long is dead, ms. */
const STALE_LOCK_MS = 15_000;

/** @type {NodeJS.Signals[]} */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const [command = '', ...args] = process.argv.slice(2);
const script = path.join(ROOT, 'scripts', `${command}.ts`);

if (!/^[a-z-]+$/.test(command) || !existsSync(script)) {
  fail('usage: node scripts/bootstrap.mjs <start|dev|test|check|doctor|ensure-ffmpeg> [arguments]');
}
await install();
run(nodeForTypeScript());

/** Makes node_modules what package-lock.json says, unless it is already. */
async function install() {
  while (!isInstalled()) {
    if (takeLock()) {
      try {
        await npmCi();
      } finally {
        rmSync(INSTALL_LOCK, { force: true });
      }
      return;
    }
    await sleep(200);
  }
}

/**
 * Whether every required package of the lock is there, by npm's own record. npm writes that record
 * last, so an interrupted install counts as none.
 */
function isInstalled() {
  const wanted = packagesOf('package-lock.json');
  const present = packagesOf(path.join('node_modules', '.package-lock.json'));
  if (!present) return false;
  return Object.entries(wanted ?? {}).every(([where, { link, optional, version }]) => {
    if (link || optional || !where.includes('node_modules/')) return true;
    return present[where]?.version === version;
  });
}

/**
 * @typedef {Record<string, { version?: string, link?: boolean, optional?: boolean }>} Packages
 * @param {string} lockfile
 * @returns {Packages | null}
 */
function packagesOf(lockfile) {
  try {
    // oxlint-disable-next-line typescript/no-unsafe-return, typescript/no-unsafe-member-access -- runs before any schema library is there
    return JSON.parse(readFileSync(path.join(ROOT, lockfile), 'utf8')).packages;
  } catch {
    return null;
  }
}

function takeLock() {
  mkdirSync(path.dirname(INSTALL_LOCK), { recursive: true });
  const age = Date.now() - (statSync(INSTALL_LOCK, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  if (age > STALE_LOCK_MS) rmSync(INSTALL_LOCK, { force: true });
  try {
    writeFileSync(INSTALL_LOCK, '', { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

async function npmCi() {
  console.error('Installing the packages of package-lock.json (once, about half a minute)…');
  const heartbeat = setInterval(() => utimesSync(INSTALL_LOCK, new Date(), new Date()), 1000);
  const npm = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  });
  let output = '';
  npm.stdout.on('data', (chunk) => (output += chunk));
  npm.stderr.on('data', (chunk) => (output += chunk));
  const code = await endOf(npm);
  clearInterval(heartbeat);
  if (code !== 0) {
    rmSync(INSTALL_LOCK, { force: true });
    fail(`npm ci failed (${code}):\n${output.trim()}`);
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<number | string | null>} its exit code, or why it did not start
 */
function endOf(child) {
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', resolve);
  });
}

/** The Node of node_modules, or else this one if it can run TypeScript by itself. */
function nodeForTypeScript() {
  const local = path.join(LOCAL_BIN, process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(local) && spawnSync(local, ['--version']).status === 0) return local;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major >= 24 || (major === 22 && minor >= 18)) {
    return process.execPath;
  }
  return fail(
    `This needs Node 22.18 or newer, or the one that npm installs, which does not run here.\n` +
      `You have ${process.version}. Install a newer one from https://nodejs.org and try again.`,
  );
}

/**
 * Runs the command's script; its end is this process's end.
 * @param {string} node
 */
function run(node) {
  // The channel tells the script that this process is gone, however it went.
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', script, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, PATH: LOCAL_BIN + path.delimiter + (process.env.PATH ?? '') },
  });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(error.message));
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + constants.signals[signal ?? 'SIGKILL']);
  });
  endWithNpm(child);
}

/**
 * Ends the command when npm is gone. npm runs its scripts through a shell that neither passes
 * signals on nor notices that npm was killed, so both ancestors are watched.
 * @param {import('node:child_process').ChildProcess} child
 */
function endWithNpm(child) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const before = ancestors();
  setInterval(() => ancestors() === before || child.kill('SIGTERM'), 500).unref();
}

/** The parent's id and, where /proc exists, its parent's. */
function ancestors() {
  try {
    const status = readFileSync(`/proc/${process.ppid}/status`, 'utf8');
    return `${process.ppid} ${/^PPid:\s*(\d+)/m.exec(status)?.[1]}`;
  } catch {
    return `${process.ppid}`;
  }
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  process.exit(1);
}
