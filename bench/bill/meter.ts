// Responsible for counting what the Worker and its object use, from outside of both: their bindings,
// their storage and their entrances are wrapped, and what is deployed knows nothing of it.
import { AsyncLocalStorage } from 'node:async_hooks';
import { MESSAGES_PER_REQUEST } from './prices.ts';
import type { Unit } from './prices.ts';
import { ASSUMED_MS, tally } from './tally.ts';
import type { Span } from './tally.ts';

type Callable = (...args: never[]) => unknown;
type Place = 'worker' | 'object';

const inObject = new AsyncLocalStorage<true>();
const storages = new WeakMap<DurableObjectState, DurableObjectStorage>();

/** The storage of an object without its meter, for the one who plays the platform. */
export function unmetered(ctx: DurableObjectState): DurableObjectStorage {
  return storages.get(ctx) ?? ctx.storage;
}

/** An environment whose D1 and R2 are counted. */
export function meterEnv<E extends { DB: D1Database; VIDEOS: R2Bucket }>(env: E, place: Place): E {
  return { ...env, DB: meterDatabase(env.DB, place), VIDEOS: meterBucket(env.VIDEOS, place) };
}

/** The same state, with a storage that is counted and with its effects awaited. */
export function meterState(ctx: DurableObjectState): DurableObjectState {
  storages.set(ctx, ctx.storage);
  Object.defineProperty(ctx, 'storage', { value: meterStorage(ctx.storage) });
  const waitUntil = ctx.waitUntil.bind(ctx);
  Object.defineProperty(ctx, 'waitUntil', {
    value: (work: Promise<unknown>) => waitUntil(underWay(work)),
  });
  return ctx;
}

/** Counts every event that reaches objects of a class. */
export function meterEntrances(metered: object, real: object): void {
  for (const name of Object.getOwnPropertyNames(real)) {
    const method: unknown = Object.getOwnPropertyDescriptor(real, name)?.value;
    if (name === 'constructor' || !isCallable(method)) continue;
    Object.defineProperty(metered, name, {
      value(this: unknown, ...args: never[]): unknown {
        if (inObject.getStore()) return method.apply(this, args);
        countEvent(name);
        const result = inObject.run(true, () => method.apply(this, args));
        return result instanceof Promise ? underWay(result) : result;
      },
    });
  }
}

/** Counts one request of the Worker. */
export function countRequest(request: Request): void {
  const path = new URL(request.url).pathname;
  const address = path
    .replace(/^\/api\/(jobs|uploads)\/[^/]+/, '/api/$1/:id')
    .replace(/^\/api\/(videos\/\w+|jobs\/:id\/output)\/.+/, '/api/$1/:key');
  tally.add('workerRequests', `${request.method} ${address}`);
  tally.add('workerCpuMs', 'assumed', ASSUMED_MS.workerCpu);
  if (tally.isLogged) tally.add('logEvents', 'requests');
}

/** Sees the timers that objects leave behind: each keeps its object awake until it has fired. */
export function meterTimers(): void {
  const real = { setTimeout, setInterval, clearTimeout, clearInterval };
  const spans = new Map<unknown, Span>();
  const started = (timer: unknown, ms: number) => {
    if (!inObject.getStore()) return timer;
    const span = { from: Date.now(), until: Date.now() + ms };
    tally.awake.push(span);
    spans.set(timer, span);
    return timer;
  };
  const stopped = (timer: unknown) => {
    const span = spans.get(timer);
    if (span) span.until = Math.min(span.until, Date.now());
    spans.delete(timer);
  };
  Object.assign(globalThis, {
    setTimeout: (run: () => void, ms = 0, ...args: []) =>
      started(real.setTimeout(run, ms, ...args), ms),
    setInterval: (run: () => void, ms = 0, ...args: []) =>
      started(real.setInterval(run, ms, ...args), Number.POSITIVE_INFINITY),
    clearTimeout: (timer: number) => {
      stopped(timer);
      real.clearTimeout(timer);
    },
    clearInterval: (timer: number) => {
      stopped(timer);
      real.clearInterval(timer);
    },
  });
}

function countEvent(name: string): void {
  tally.eventAt = Date.now();
  // The docs name only messages; a close wakes the object just as well, so it is taken for one.
  const isMessage = name.startsWith('webSocket');
  tally.add('objectRequests', name, isMessage ? 1 / MESSAGES_PER_REQUEST : 1);
  const ms = name === 'webSocketMessage' ? ASSUMED_MS.message : ASSUMED_MS.event;
  tally.add('objectMs', isMessage ? 'messages' : 'events', ms);
  if (tally.isLogged) tally.add('logEvents', 'events of the object');
}

/** The same work, which the tally knows to be under way. */
async function underWay(work: Promise<unknown>): Promise<unknown> {
  const { pending } = tally;
  pending.add(work);
  try {
    return await work;
  } finally {
    pending.delete(work);
  }
}

function meterStorage(storage: DurableObjectStorage): DurableObjectStorage {
  const { kv, sql } = storage;
  return wrapped(storage, {
    transactionSync: storage.transactionSync.bind(storage),
    sql: wrapped(sql, { exec: meterExec(sql) }),
    kv: wrapped(kv, {
      get: (key: string) => (read(`kv ${key}`), kv.get(key)),
      put: (key: string, value: unknown) => (written(`kv ${key}`), kv.put(key, value)),
    }),
    get: (key: string) => (read(`kv ${key}`), storage.get(key)),
    put: (key: string, value: unknown) => (written(`kv ${key}`), storage.put(key, value)),
    getAlarm: () => (read('getAlarm'), storage.getAlarm()),
    setAlarm: (at: number) => {
      written('setAlarm');
      tally.alarmAt = at;
      return storage.setAlarm(at);
    },
    // How many rows this is, is nowhere written.
    deleteAll: () => {
      written('deleteAll');
      tally.alarmAt = null;
      return storage.deleteAll();
    },
  });
}

function read(cause: string): void {
  tally.add('objectRowsRead', cause);
}

function written(cause: string): void {
  tally.add('objectRowsWritten', cause);
}

function meterExec(sql: SqlStorage) {
  return (query: string, ...bindings: unknown[]) => {
    // A cursor counts only its own statement, so a text of several is run one by one.
    const statements = query.split(/;\s*(?=\S)/);
    const last = statements.pop() ?? query;
    for (const statement of statements) meterCursor(statement, sql.exec(statement));
    return meterCursor(last, sql.exec(last, ...bindings));
  };
}

function meterCursor<C extends { rowsRead: number; rowsWritten: number }>(
  query: string,
  cursor: C,
): C {
  // By then the cursor has been read to its end, for nobody waits between its rows.
  queueMicrotask(() => {
    tally.add('objectRowsWritten', causeOf(query), cursor.rowsWritten);
    tally.add('objectRowsRead', causeOf(query), cursor.rowsRead);
  });
  return cursor;
}

function meterDatabase(db: D1Database, place: Place): D1Database {
  const count = (query: string, { meta }: D1Result) => {
    tally.add('d1RowsWritten', `${place}: ${causeOf(query)}`, meta.rows_written);
    tally.add('d1RowsRead', `${place}: ${causeOf(query)}`, meta.rows_read);
  };
  const wait = () => {
    if (place === 'object') tally.add('objectMs', 'waiting for D1', ASSUMED_MS.d1);
  };
  const ran = async <T extends D1Result>(query: string, result: Promise<T>): Promise<T> => {
    wait();
    count(query, await result);
    return result;
  };
  const reals = new WeakMap<D1PreparedStatement, { query: string; real: D1PreparedStatement }>();
  const statement = (query: string, real: D1PreparedStatement): D1PreparedStatement => {
    const metered = wrapped(real, {
      bind: (...values: unknown[]) => statement(query, real.bind(...values)),
      run: () => ran(query, real.run()),
      all: () => ran(query, real.all()),
      first: async () => (await ran(query, real.all())).results[0] ?? null,
    });
    reals.set(metered, { query, real });
    return metered;
  };
  const batch = async (statements: readonly D1PreparedStatement[]) => {
    wait();
    const known = statements.flatMap((metered) => reals.get(metered) ?? []);
    const results = await db.batch(known.map(({ real }) => real));
    for (const [i, result] of results.entries()) count(known[i]?.query ?? '', result);
    return results;
  };
  return wrapped(db, { batch, prepare: (query: string) => statement(query, db.prepare(query)) });
}

function meterBucket(bucket: R2Bucket, place: Place): R2Bucket {
  const use = (name: string, key: string, unit: Unit | null) => {
    if (place === 'object') tally.add('objectMs', 'waiting for R2', ASSUMED_MS.r2);
    if (unit) tally.add(unit, `${place}: ${name} ${key.split('/')[0]}/`);
  };
  return wrapped(bucket, {
    put: (key: string, body: string, options?: R2PutOptions) => {
      use('put', key, 'r2ClassA');
      return bucket.put(key, body, options);
    },
    list: (options: R2ListOptions) => {
      use('list', options.prefix ?? '', 'r2ClassA');
      return bucket.list(options);
    },
    head: (key: string) => {
      use('head', key, 'r2ClassB');
      return bucket.head(key);
    },
    get: (key: string, options?: R2GetOptions) => {
      use('get', key, 'r2ClassB');
      return bucket.get(key, options);
    },
    delete: (keys: string | string[]) => {
      use('delete', '', null);
      return bucket.delete(keys);
    },
  });
}

/** The same thing with some methods replaced; a method that nobody counts cannot be called. */
function wrapped<T extends object>(target: T, methods: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get: (real, name) => {
      if (typeof name === 'string' && Object.hasOwn(methods, name)) return methods[name];
      const value: unknown = Reflect.get(real, name);
      if (isCallable(value)) throw new Error(`${String(name)} is not counted yet`);
      return value;
    },
  });
}

/** What a statement does to which table. */
function causeOf(query: string): string {
  const [verb = ''] = query.trim().split(/\s/);
  const table = /\b(?:FROM|INTO|UPDATE|TABLE|INDEX)\s+(\w+)/i.exec(query)?.[1] ?? '';
  return `${verb} ${table}`;
}

function isCallable(value: unknown): value is Callable {
  return typeof value === 'function';
}
