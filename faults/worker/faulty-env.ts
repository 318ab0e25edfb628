// Responsible for bindings that fail: the real D1 and R2 behind operations that ask first what is to
// happen to them. Nothing of this is in the Worker that is deployed.

/** The bindings of either Worker that are made to fail, and where to ask. */
export interface FaultyEnv {
  DB: D1Database;
  VIDEOS: R2Bucket;
  FAULTS_URL?: string;
}

type Operation = (...args: never[]) => unknown;

const STATEMENT = new Set(['first', 'run', 'all', 'raw']);
const BUCKET = new Set(['head', 'get', 'put', 'delete', 'list']);

const known = new WeakMap<object, object>();

/** The same environment with stores that fail; the same one for the same environment. */
export function faulty<E extends FaultyEnv>(env: E): E {
  const made = known.get(env);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the map holds what was made from this very key
  if (made) return made as E;
  const copy: E = {
    ...env,
    DB: database(env.DB, env.FAULTS_URL),
    VIDEOS: failing(env.VIDEOS, BUCKET, 'r2', env.FAULTS_URL),
  };
  known.set(env, copy);
  return copy;
}

function database(db: D1Database, url: string | undefined): D1Database {
  const statement = (real: D1PreparedStatement): D1PreparedStatement =>
    new Proxy(failing(real, STATEMENT, 'd1', url), {
      get: (target, name): unknown =>
        name === 'bind'
          ? (...values: unknown[]) => statement(real.bind(...values))
          : Reflect.get(target, name),
    });
  return new Proxy(db, {
    get: (target, name): unknown => {
      if (name === 'prepare') return (sql: string) => statement(target.prepare(sql));
      const value: unknown = Reflect.get(target, name);
      return isOperation(value) ? value.bind(target) : value;
    },
  });
}

/** A target whose named operations fail as they are told. */
function failing<T extends object>(
  target: T,
  operations: ReadonlySet<string>,
  store: string,
  url: string | undefined,
): T {
  return new Proxy(target, {
    get: (real, name) => {
      const value: unknown = Reflect.get(real, name);
      if (!isOperation(value)) return value;
      const operation = value.bind(real);
      if (typeof name !== 'string' || !operations.has(name) || url === undefined) return operation;
      return (...args: never[]) => suffer(`${url}/${store}/${name}`, () => operation(...args));
    },
  });
}

function isOperation(value: unknown): value is Operation {
  return typeof value === 'function';
}

async function suffer(url: string, operation: () => unknown): Promise<unknown> {
  const { fault, ms } = await orderFrom(url);
  switch (fault) {
    case 'error':
      throw new Error('injected: the store answered 500');
    case 'timeout':
      await scheduler.wait(ms);
      throw new Error('injected: the store did not answer');
    case 'done, then error':
      await operation();
      throw new Error('injected: the answer of the store was lost');
    case 'slow':
      await scheduler.wait(ms);
      return operation();
    default:
      return operation();
  }
}

async function orderFrom(url: string): Promise<{ fault: unknown; ms: number }> {
  try {
    const order: unknown = await (await fetch(url)).json();
    if (typeof order === 'object' && order && 'fault' in order && 'ms' in order) {
      return { fault: order.fault, ms: Number(order.ms) };
    }
  } catch {
    // Nobody injects faults any more.
  }
  return { fault: null, ms: 0 };
}
