// Responsible for how the world looks: each job as its owner sees it, and everything that lies on disk.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { System } from './system.ts';
import { changesBetween, type Look } from './verdict.ts';
import { ownerHeaders, type Job, type World } from './world.ts';

const SETTLED_MS = 60_000;

/** What looking changes by itself: the counters of the bill, links, and when a key was last used. */
const BY_LOOKING = new Set([
  'platform',
  'dollars',
  'cost_usd',
  'output_url',
  'connections',
  'last_used_at',
]);

/** The world once nothing changes any more by itself. @throws when it never comes to rest. */
export async function lookWhenSettled(system: System, world: World): Promise<Look> {
  const deadline = Date.now() + SETTLED_MS;
  let last = await look(system, world);
  for (;;) {
    await sleep(1500);
    const now = await look(system, world);
    const changes = changesBetween(last, now);
    const isWaiting = [...now].some(
      ([name, text]) => name.startsWith('job ') && text.includes('"waiting_for":"dispatch"'),
    );
    if (changes.length === 0 && !isWaiting) return now;
    if (Date.now() > deadline) throw new Error(`the world does not rest: ${changes.join('; ')}`);
    last = now;
  }
}

/** The world now. */
export async function look({ state, mode }: System, world: World): Promise<Look> {
  const seen = new Map<string, string>();
  for (const job of world.jobs) {
    for (const [name, text] of await lookAtJob(world, job)) seen.set(name, text);
  }
  for (const [name, text] of rowsBelow(path.join(state, 'd1'), TABLES)) seen.set(name, text);
  for (const [name, text] of rowsBelow(path.join(state, 'r2'), [
    '_mf_objects',
    '_mf_multipart_uploads',
  ]))
    seen.set(name, text);
  // In development any id can be made by hand, so that looking for one makes its object.
  if (mode === 'production') {
    for (const object of databasesBelow(path.join(state, 'do', JOBS))) {
      seen.set(`object ${path.basename(object)}`, 'there');
    }
  }
  return seen;
}

const JOBS = 'export-jobs-ExportJobState';
const TABLES = ['export_jobs', 'export_job_tags', 'export_api_keys', 'export_multiparts'];

async function lookAtJob(world: World, job: Job): Promise<[string, string][]> {
  const { id } = job;
  const headers = ownerHeaders(world, job);
  const ask = async (what: string) => {
    const url = `http://127.0.0.1:${world.port}/api/jobs/${id}${what}`;
    return await (await fetch(url, { headers })).text();
  };
  return [
    [`job ${id}`, steady(await ask(''))],
    [`status of ${id}`, steady(await ask('/do/status'))],
    [`log of ${id}`, (await ask('/events')).split('\n').map(steady).join('\n')],
  ];
}

/** How many still watch any of the jobs. */
export async function watchers(world: World): Promise<number> {
  let sum = 0;
  for (const job of world.jobs) {
    const url = `http://127.0.0.1:${world.port}/api/jobs/${job.id}/do/status`;
    const text = await (await fetch(url, { headers: ownerHeaders(world, job) })).text();
    sum += v.parse(Status, text).connections;
  }
  return sum;
}
const Status = v.pipe(v.string(), v.parseJson(), v.object({ connections: v.number() }));

/** A JSON text without what looking changes; another text as it is. */
function steady(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), (key, value: unknown) =>
      BY_LOOKING.has(key) ? undefined : value,
    );
  } catch {
    return text;
  }
}

function rowsBelow(folder: string, tables: readonly string[]): [string, string][] {
  return databasesBelow(folder).flatMap((file) => {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const there = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).all();
      return tables
        .filter((table) => there.some(({ name }) => name === table))
        .flatMap((table) => rowsOf(database, table));
    } finally {
      database.close();
    }
  });
}

function rowsOf(database: DatabaseSync, table: string): [string, string][] {
  const rows = database.prepare(`SELECT * FROM ${table} ORDER BY 1`).all();
  return rows.map((row) => {
    const [first, second] = Object.values(row);
    // A row's view is JSON within it.
    const text = steady(JSON.stringify(row));
    return [`${table} ${String(first)} ${table.endsWith('tags') ? String(second) : ''}`, text];
  });
}

function databasesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.sqlite') && !name.endsWith('metadata.sqlite'))
    .map((name) => path.join(folder, name));
}
