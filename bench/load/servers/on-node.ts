// Responsible for the contestants that are Node processes.
import { fork } from 'node:child_process';
import path from 'node:path';
import * as v from 'valibot';
import { endOf, nextMessage } from '../child.ts';
import { contractJob } from './contract.ts';
import { startRedis } from './redis.ts';
import type { Server } from './server.ts';

const Address = v.object({ port: v.number() });

/** One Node process that broadcasts from memory. */
export async function startNodeWs(): Promise<Server> {
  return await startProgram('node-ws.ts');
}

/** BullMQ's process, and Redis. */
export async function startBullMq(folder: string): Promise<Server> {
  const redis = await startRedis(folder);
  try {
    const node = await startProgram('bullmq.ts', String(redis.port));
    return {
      pids: [...node.pids, redis.pid],
      openJob: () => node.openJob(),
      async close() {
        await node.close();
        await redis.close();
      },
    };
  } catch (error) {
    await redis.close();
    throw error;
  }
}

async function startProgram(name: string, ...args: string[]): Promise<Server> {
  const program = path.join(import.meta.dirname, '..', 'programs', name);
  const child = fork(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const { port } = v.parse(Address, await nextMessage(child));
  return {
    pids: [child.pid ?? 0],
    openJob: () => contractJob(port, '/api/jobs'),
    close: () => endOf(child),
  };
}
