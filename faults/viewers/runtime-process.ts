// The process that workerd is a child of. Some calls of Miniflare block the process that makes them until
// workerd answers, and workerd may have to wait for the provider and the viewers: so those are elsewhere.
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';
import * as v from 'valibot';
import { childrenOf } from '../../bench/load/servers/processes.ts';
import { Order, type Started } from './runtime-orders.ts';

const NAME = 'viewers';

let running: Miniflare | undefined;
let turn: Promise<unknown> = Promise.resolve();

process.on('message', (message) => {
  const { id, ...order } = v.parse(Order, message);
  turn = turn
    .then(() => obey(order))
    .then(
      (value) => process.send?.({ id, value }),
      (error: unknown) => process.send?.({ id, error: String(error) }),
    );
});
// Nobody gives orders any more.
process.on('disconnect', () => void stop().finally(() => process.exit()));

async function obey(order: Omit<Order, 'id'>): Promise<unknown> {
  const { start: settings, evict } = order;
  if (settings) return await start(settings);
  if (evict) return await sleepNow(evict);
  return await stop();
}

async function start(settings: NonNullable<Order['start']>): Promise<Started> {
  running = new Miniflare(convertV4MiniflareOptions(optionsOf(settings)));
  await running.ready;
  const db = await running.getD1Database('DB');
  for (const sql of settings.migrations) await db.prepare(sql).run();
  const [pid = 0] = await childrenOf(process.pid, 'workerd');
  return { pid };
}

async function stop(): Promise<void> {
  await running?.dispose();
  running = undefined;
}

async function sleepNow({ className, ...which }: NonNullable<Order['evict']>): Promise<void> {
  try {
    await running?.unsafeEvictDurableObject(NAME, className, which);
  } catch (error) {
    // It sleeps already, or was killed meanwhile: both are what was wanted, and more.
    if (!/not currently running|fetch failed|socket/i.test(String(error))) throw error;
  }
}

function optionsOf({ script, port, folder, variables }: NonNullable<Order['start']>) {
  const { code, ...compatibility } = script;
  return {
    ...compatibility,
    name: NAME,
    modules: [{ type: 'ESModule' as const, path: 'worker.mjs', contents: code }],
    durableObjects: {
      EXPORT_JOB: { className: 'ExportJobState', useSQLite: true },
      EXPORT_FEED: { className: 'ExportFeed', useSQLite: true },
    },
    d1Databases: ['DB'],
    r2Buckets: ['VIDEOS'],
    bindings: { ...variables },
    resourcePersistencePath: folder,
    unsafeDirectSockets: [{ host: '127.0.0.1', port }],
    log: new Log(LogLevel.ERROR),
    // It would be fetched.
    cf: false,
  };
}
