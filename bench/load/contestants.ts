// Who is measured.
import { bundle, stopBundling } from './servers/bundle.ts';
import { startBullMq, startNodeWs } from './servers/on-node.ts';
import { startBroadcast, startNaive } from './servers/on-workerd.ts';
import { startOurs } from './servers/ours.ts';
import type { Provider } from './servers/runpod.ts';
import type { Contestant } from './servers/server.ts';
import { Source } from './servers/source.ts';

/** What ratios are relative to. */
export const FLOOR = 'floor';
export const BY_POST = 'ours, POST';
export const BY_SOCKET = 'ours, socket';

/** Makes them all, the Worker of this project from a checkout. */
export async function contestants(provider: Provider, source: Source): Promise<Contestant[]> {
  const here = new Source();
  const worker = await bundle(source, 'workers', 'src', 'index.ts');
  const floor = await bundle(here, 'bench', 'load', 'workers', 'floor.ts');
  const party = await bundle(here, 'bench', 'load', 'workers', 'party.ts');
  const naive = await bundle(here, 'bench', 'naive', 'src', 'worker.ts');
  await stopBundling();
  const ours = { script: worker, source, provider };
  const bare = { root: '/api/jobs', className: 'ExportJobState', binding: 'EXPORT_JOB' };
  const rooms = { root: '/parties/job', className: 'Job', binding: 'Job' };
  return [
    every(FLOOR, (folder) => startBroadcast(floor, folder, bare)),
    skipping(BY_POST, (folder) => startOurs({ ...ours, way: 'post' }, folder)),
    skipping(BY_SOCKET, (folder) => startOurs({ ...ours, way: 'socket' }, folder)),
    every('naive', (folder) => startNaive(naive, provider, folder)),
    every('PartyServer', (folder) => startBroadcast(party, folder, rooms)),
    every('Node ws', startNodeWs),
    every('BullMQ', startBullMq),
  ];
}

function every(name: string, start: Contestant['start']): Contestant {
  return { name, start, promisesAll: true };
}

/** One that may skip a report for a newer one, as the protocol says. */
function skipping(name: string, start: Contestant['start']): Contestant {
  return { name, start, promisesAll: false };
}
