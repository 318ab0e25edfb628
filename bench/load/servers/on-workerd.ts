// Responsible for the other contestants on workerd: the floor, the naive sketch and PartyServer.
import * as v from 'valibot';
import { freePort } from '../../../scripts/lib/port.ts';
import { call } from '../client/call.ts';
import type { Script } from './bundle.ts';
import { contractJob } from './contract.ts';
import { migrationsOf } from './migrations.ts';
import type { Provider } from './runpod.ts';
import type { Objects, Server } from './server.ts';
import { Source } from './source.ts';
import { Workerd } from './workerd.ts';

/** One that only passes reports on: a job is there once it is named. */
export async function startBroadcast(
  script: Script,
  folder: string,
  { root, ...object }: { root: string; className: string; binding: string },
): Promise<Server> {
  const port = await freePort();
  const workerd = new Workerd({ script, port, folder, ...object });
  await workerd.start();
  const openJob = () => contractJob(port, root);
  return serverOf(workerd, async () => void (await openJob()), openJob);
}

const Created = v.object({ job: v.object({ id: v.string() }) });

/** The naive sketch, whose jobs are in D1 and are handed over. */
export async function startNaive(
  script: Script,
  provider: Provider,
  folder: string,
): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const workerd = new Workerd({
    script,
    port,
    folder,
    className: 'ExportJobState',
    migrations: await migrationsOf(new Source(), 'bench', 'naive'),
    variables: { ...provider.variables, PUBLIC_URL: url },
  });
  await workerd.start();
  await workerd.migrate();
  const body = { input: { upload_id: 'upload' } };
  const create = () => call(`${url}/api/jobs`, Created, { body });
  const callNew = async () => void (await create());
  return serverOf(workerd, callNew, async () => {
    const { job } = await create();
    return await contractJob(port, '/api/jobs', job.id);
  });
}

/** A contestant that is one workerd. */
export function serverOf(
  workerd: Workerd,
  callNew: Objects['callNew'],
  openJob: Server['openJob'],
): Server {
  return {
    // It is another process after a restart.
    get pids() {
      return [workerd.pid];
    },
    openJob,
    objects: {
      callNew,
      evict: ({ id }) => workerd.evict(id),
      restart: () => workerd.restart(),
    },
    close: () => workerd.close(),
  };
}
