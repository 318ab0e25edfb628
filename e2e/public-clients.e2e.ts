// Clients that anybody may have, unmodified, see a job as our own client does.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensurePython } from '../scripts/ensure-python.ts';
import { inRoot } from '../scripts/lib/paths.ts';
import type { Stack } from '../scripts/stack.ts';
import { launchBrowser, openTab } from './support/browser.ts';
import { faultsIn, statesIn } from './support/followed.ts';
import { Link } from './support/link.ts';
import { until } from './support/processes.ts';
import {
  browserSocket,
  curl,
  eventSource,
  partysocket,
  python,
  wscat,
  type Client,
  type Watched,
} from './support/public-clients.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';
import { storyByHand, storyByTicket, type Story } from './support/story.ts';

const API_KEY = '0123456789abcdef0123456789abcdef';
const WORKER = inRoot('workers', 'src', 'index.ts');
/** The Worker as it is where the start commands have not told it that this is a laptop. */
const CLOSED_WORKER = `
  import worker from '${WORKER}';
  export * from '${WORKER}';
  const closed = ({ DEVELOPMENT, ...env }) => env;
  export default { ...worker, fetch: (request, env, ctx) => worker.fetch(request, closed(env), ctx) };
`;

let open: Stack;
let closed: Stack;
let browser: Browser;
let links: { open: Link; closed: Link };

beforeAll(async () => {
  const script = path.join(await temporaryFolder('clients'), 'closed.js');
  await writeFile(script, CLOSED_WORKER);
  const policy = { retry_base_ms: 100, retention_ms: 5000 };
  const common = { renderers: 0, policy };
  open = await freshStack(common);
  closed = await freshStack({ ...common, workerCode: { script }, workerEnv: { API_KEY } });
  browser = await launchBrowser();
  links = { open: await Link.to(open.port), closed: await Link.to(closed.port) };
});
afterAll(async () => {
  await browser.close();
  await Promise.all([links.open.close(), links.closed.close()]);
  await Promise.all([open.close(), closed.close()]);
});

/** Any page of the server's origin. */
async function pageOf(base: string): Promise<Page> {
  return await openTab(await browser.newContext(), `${base}/healthz`);
}

type Connect = (job: Watched) => Client | Promise<Client>;

/**
 * What happens to the client's connection halfway: nothing; it is lost, and the client comes back to where it
 * was, so that it may miss nothing; it is lost, and the client starts over.
 */
type Loss = 'none' | 'resumes' | 'starts over';

/** Has a client follow a job to its end, and judges what it was shown. */
async function follows(story: Story, link: Link, connect: Connect, loss: Loss): Promise<Client> {
  const { id, token } = story;
  const client = await connect({ base: link.url, id, token });
  const { followed } = client;
  const isShown = (n: number) =>
    until(`connection ${n} shows the job`, () => (followed.connections[n]?.length ?? 0) > 0);
  await isShown(0);
  await story.begins();
  if (loss !== 'none') link.cut();
  if (loss === 'resumes') await story.fails();
  link.mend();
  if (loss !== 'none') await isShown(1);
  if (loss !== 'resumes') await story.fails();
  await story.ends();
  await until('the end', () => followed.isOver);
  await client.settle();
  expect(faultsIn(followed.connections, await story.changes())).toEqual([]);
  const [last] = statesIn(followed.connections).slice(-1);
  const states = ['pending', 'processing', 'pending', 'processing', last];
  expect(statesIn(followed.connections)).toEqual(states);
  return client;
}

const inPage = {
  socket: async (job: Watched) => await browserSocket(await pageOf(job.base), job),
  source: async (job: Watched) => await eventSource(await pageOf(job.base), job),
};

describe('in development, where nobody asks for credentials', () => {
  it.each<[string, Connect, Loss]>([
    ['wscat', wscat, 'none'],
    ['curl, called again with Last-Event-ID,', curl, 'resumes'],
    ['a browser’s WebSocket', inPage.socket, 'none'],
    ['a browser’s EventSource', inPage.source, 'resumes'],
    ['partysocket', partysocket, 'resumes'],
  ])('%s follows a job from its start to its end', async (_, connect, loss) => {
    const client = await follows(await storyByHand(open), links.open, connect, loss);
    await client.close();
  });

  it('Python’s websockets follows a job from its start to its end', async ({ skip }) => {
    const program = await ensurePython();
    if (program === null) skip('there is no Python with websockets, and no way to install it here');
    const connect = (job: Watched) => python(program ?? '', job);
    const client = await follows(await storyByHand(open), links.open, connect, 'starts over');
    await client.close();
  });

  it('partysocket, which dials again after every close, is told the end each time', async () => {
    const story = await storyByHand(open);
    const { followed, close } = await follows(story, links.open, partysocket, 'none');
    const before = followed.connections.length;
    const end = followed.last;
    // The object closes its sockets when it deletes itself, and then whoever comes is told from D1.
    await until('it has dialled again and again', () => followed.connections.length > before + 3);
    await close();
    const later = followed.connections.slice(before, -1);
    expect(later.map((said) => said.map(({ type, seq }) => [type, seq]))).toEqual(
      later.map(() => [
        ['status', end?.seq],
        ['complete', end?.seq],
      ]),
    );
    expect(faultsIn(followed.connections, await story.changes())).toEqual([]);
  });
});

describe('where credentials are asked for, with a viewer’s token', () => {
  it.each<[string, Connect, Loss]>([
    ['wscat', wscat, 'none'],
    ['curl', curl, 'resumes'],
    ['a browser’s WebSocket', inPage.socket, 'none'],
    ['partysocket', partysocket, 'resumes'],
  ])('%s follows a job from its start to its end', async (_, connect, loss) => {
    const story = await storyByTicket(closed, API_KEY);
    const client = await follows(story, links.closed, connect, loss);
    expect(client.followed.last).toMatchObject({ type: 'error' });
    await client.close();
  });

  it('a browser’s EventSource, which cannot send one, is refused and does not come back', async () => {
    const { id } = await storyByTicket(closed, API_KEY);
    const source = await inPage.source({ base: links.closed.url, id });
    await source.settle();
    expect(source.followed.connections).toEqual([]);
    await source.close();
  });
});

describe('the judge', () => {
  it('finds what is left out, out of order, cut short or too much', async () => {
    const story = await storyByHand(open);
    const { followed, close } = await follows(story, links.open, curl, 'none');
    close();
    const [all = []] = followed.connections;
    const [end] = all.slice(-1);
    const changes = await story.changes();
    const judge = (...connections: (typeof all)[]) => faultsIn(connections, changes);
    if (!end) throw new Error('nothing was heard');

    expect(judge(all)).toEqual([]);
    expect(judge(all, [end])).toEqual([]);
    const report = all.filter(({ type }) => type === 'progress');
    expect(judge(report, all)).toContain('connection 0 begins with progress');
    expect(judge(all.toSpliced(1, 0, end))).toContain(`2000 comes after ${end.seq}`);
    for (const { seq } of changes.slice(1)) {
      expect(judge(all.filter((message) => message.seq !== seq))).toContain(`${seq} is missing`);
    }
    expect(judge(all.slice(0, -1))).toContain(`${end.seq} is missing`);
    const [late] = report.slice(-1);
    expect(judge(late ? [...all, { ...late, seq: end.seq + 1 }] : [])).toEqual([
      `the last one is progress ${end.seq + 1}`,
      `progress ${end.seq + 1} comes after the end`,
    ]);
    expect(judge([])).not.toEqual([]);
  });
});
