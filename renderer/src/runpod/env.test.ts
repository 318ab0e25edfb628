import { describe, expect, it } from 'vitest';
import { readWorkerEnv } from './env.ts';

const BASE = 'https://api.runpod.example/v2/ep';
const ENV = {
  RUNPOD_WEBHOOK_GET_JOB: `${BASE}/job-take/$ID?gpu=$RUNPOD_GPU_TYPE_ID`,
  RUNPOD_WEBHOOK_POST_OUTPUT: `${BASE}/job-done/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000`,
  RUNPOD_WEBHOOK_POST_STREAM: `${BASE}/job-stream/$RUNPOD_POD_ID/$ID`,
  RUNPOD_WEBHOOK_PING: `${BASE}/ping/$RUNPOD_POD_ID`,
  RUNPOD_AI_API_KEY: 'key',
  RUNPOD_POD_ID: 'pod$&1',
  RUNPOD_GPU_TYPE_ID: 'NVIDIA L4',
};
const addresses = (env: Record<string, string> = {}) => readWorkerEnv({ ...ENV, ...env });

describe('the addresses of a worker', () => {
  it('are the templates with their names filled in, whatever is in the values', () => {
    const at = addresses();
    expect(at.takeUrl(1, false).href).toBe(
      `${BASE}/job-take/pod%24%261?gpu=NVIDIA+L4&job_in_progress=0`,
    );
    expect(at.doneUrl('a/b-u1', false).href).toBe(
      `${BASE}/job-done/pod%24%261/a%2Fb-u1?gpu=NVIDIA+RTX+A5000&isStream=false`,
    );
  });

  it('are sound too when a template has no query of its own', () => {
    const at = addresses();
    expect(at.streamUrl('j')?.href).toBe(`${BASE}/job-stream/pod%24%261/j?isStream=false`);
    expect(at.pingUrl([]).href).toBe(`${BASE}/ping/pod%24%261`);
    expect(at.pingUrl(['a', 'b']).searchParams.get('job_id')).toBe('a,b');
  });

  it('derive batches and stops from where jobs are taken', () => {
    const at = addresses();
    expect(at.takeUrl(3, true).href).toBe(
      `${BASE}/job-take-batch/pod%24%261?gpu=NVIDIA+L4&batch_size=3&job_in_progress=1`,
    );
    expect(at.stopUrl()?.href).toBe(`${BASE}/job-stop/pod%24%261?gpu=NVIDIA%20L4`);
  });

  it('never take a job where stops are asked for: a form that is not known has neither', () => {
    const at = addresses({ RUNPOD_WEBHOOK_GET_JOB: `${BASE}/jobs/$ID` });
    expect(at.takeUrl(3, false).href).toBe(`${BASE}/jobs/pod%24%261?job_in_progress=0`);
    expect(at.stopUrl()).toBeUndefined();
  });
});

describe('the environment of a worker', () => {
  it('must have addresses and a key; each that is wrong is named', () => {
    expect(() => addresses({ RUNPOD_WEBHOOK_PING: 'nowhere', RUNPOD_AI_API_KEY: '' })).toThrow(
      /RUNPOD_WEBHOOK_PING, RUNPOD_AI_API_KEY missing or not valid/,
    );
    expect(() => addresses({ RUNPOD_PING_INTERVAL: '0' })).toThrow(/RUNPOD_PING_INTERVAL/);
  });

  it('names the GPU, where there is one', () => {
    expect(addresses().gpuType).toBe('NVIDIA L4');
    expect(addresses({ RUNPOD_GPU_TYPE_ID: '' }).gpuType).toBeUndefined();
  });

  it('may leave out the name of the worker, its GPU and the interval of its pings', () => {
    const { RUNPOD_POD_ID: _, RUNPOD_GPU_TYPE_ID: __, ...nameless } = ENV;
    const env = readWorkerEnv(nameless);
    expect(env.gpuType).toBeUndefined();
    expect(env.workerId).toMatch(/^[0-9a-f-]{36}$/);
    expect(env.pingIntervalMs).toBe(10_000);
  });
});
