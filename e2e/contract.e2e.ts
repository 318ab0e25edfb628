import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { inRoot } from '../scripts/lib/paths.ts';
import type { Stack } from '../scripts/stack.ts';
import { post } from './support/http.ts';
import { until } from './support/processes.ts';
import { freshStack } from './support/stack.ts';

let stack: Stack;
beforeAll(async () => void (stack = await freshStack({ renderers: 0 })));
afterAll(async () => await stack.close());

const Success = v.strictObject({ success: v.literal(true) });

describe('the smoke test of the contract, as a newcomer types it', () => {
  it('shows every call to a viewer that was there from the beginning', async () => {
    const { lines, say, stop } = wscat(
      `${stack.url.replace('http', 'ws')}/api/jobs/test-job-123/ws`,
    );
    try {
      const base = `${stack.url}/api/jobs/test-job-123/do`;
      await until('the viewer is connected', () => {
        say('{"type":"ping"}');
        return lines.includes('{"type":"pong"}');
      });

      await post(`${base}/init`, { id: 'test-job-123', status: 'pending', progress: 0 }, Success);
      await hears(lines, { type: 'status', status: 'pending', progress: 0 });

      const report = { progress: 50, message: 'Processing...' };
      await post(`${base}/progress`, report, v.looseObject({ success: v.literal(true) }));
      await hears(lines, { type: 'progress', progress: 50, message: 'Processing...' });

      await post(`${base}/complete`, { output_video_key: 'my video.mp4' }, Success);
      await hears(lines, { type: 'complete', job_id: 'test-job-123' });
      const status: unknown = await (await fetch(`${base}/status`)).json();
      expect(status).toMatchObject({ job: { status: 'complete', progress: 100 } });
    } finally {
      stop();
    }
  });

  it('answers for a job that nobody initialised', async () => {
    const base = `${stack.url}/api/jobs/nobody-made-this/do`;
    expect(await (await fetch(`${base}/status`)).json()).toEqual({ status: 'not_found' });
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ progress: 10 });
    expect((await fetch(`${base}/progress`, { method: 'POST', headers, body })).status).toBe(400);
    expect((await fetch(`${base}/anything-else`)).status).toBe(404);
  });
});

/** The WebSocket client that the contract names. It prints each message as a line. */
function wscat(url: string) {
  const child = spawn(process.execPath, [inRoot('node_modules', '.bin', 'wscat'), '-c', url], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  // Its prompt stands before whatever is printed next.
  output.on('line', (line) => lines.push(line.replace(/^(> )+/, '')));
  return {
    lines,
    say: (line: string) => child.stdin.write(`${line}\n`),
    stop: () => child.kill('SIGKILL'),
  };
}

async function hears(lines: readonly string[], expected: object): Promise<void> {
  await until(`a message like ${JSON.stringify(expected)}, in ${lines.length} lines`, () =>
    lines.some((line) => {
      const message = v.safeParse(v.pipe(v.string(), v.parseJson()), line);
      if (!message.success) return false;
      try {
        expect(message.output).toMatchObject(expected);
        return true;
      } catch {
        return false;
      }
    }),
  );
}
