import type { Env, ExportJob } from './types.ts';

/** Hands a job over to RunPod. */
export async function dispatch(env: Env, job: ExportJob): Promise<void> {
  const base = env.PUBLIC_URL;
  const input = {
    job_id: job.id,
    attempt: job.retry_count + 1,
    container: job.input?.container,
    callback_url: `${base}/api/jobs/${job.id}/do`,
    source_url: `${base}/api/uploads/${job.input?.upload_id}`,
    output_url: `${base}/api/videos/upload`,
  };
  const response = await fetch(`${env.RUNPOD_ENDPOINT_URL}/run`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${env.RUNPOD_API_KEY}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ input }),
  });
  if (!response.ok) throw new Error(`RunPod answered ${response.status}`);
}
