// Responsible for making real exports and writing down what their renderer said meanwhile.
import { openAsBlob } from 'node:fs';
import path from 'node:path';
import { createClient } from '@export-jobs/client';
import { KnownOptions, RENDERER_FRAMES, STAGES } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Task } from './films.ts';

/** An export that takes longer has failed, ms. */
const PATIENCE_MS = 300_000;

const Told = v.object({
  at: v.number(),
  stage: v.picklist(STAGES),
  progress: v.number(),
  /** The renderer's own estimate, ms, and the work that it has planned; null until it says so. */
  etaMs: v.nullable(v.number()),
  megapixels: v.nullable(v.number()),
});

/** One export from its claim to its end. Times are epoch ms, of one machine. */
export const Trace = v.object({
  name: v.string(),
  inputSize: v.number(),
  options: KnownOptions,
  hardware: v.string(),
  claimedAt: v.number(),
  completedAt: v.number(),
  /** What it became: frames × width × height, in millions. */
  megapixels: v.number(),
  /** What was reported, in order. */
  told: v.array(Told),
});
export type Trace = v.InferOutput<typeof Trace>;

/** A line that `renderer.ts` prints. */
const Line = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    at: v.number(),
    said: v.pipe(v.string(), v.parseJson(), RENDERER_FRAMES.progress),
  }),
);

/** Makes one export after the other. */
export class Recorder {
  #told: Trace['told'] = [];

  /** Hears a line of the renderer. */
  hear(line: string): void {
    const heard = v.safeParse(Line, line);
    if (!heard.success) return;
    const { at, said } = heard.output;
    const { stage = 'rendering', progress, eta_ms: etaMs = null, megapixels = null } = said;
    this.#told.push({ at, stage, progress, etaMs, megapixels });
  }

  /** Makes an export; watches it, so that it is reported often. */
  async record(baseUrl: string, { name, file, options }: Task): Promise<Trace> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const client = createClient({ baseUrl });
    const source = new File([await openAsBlob(file)], path.basename(file));
    this.#told = [];
    const { job } = await client.createExport(source, options, { signal });
    for await (const { job: now, error } of client.watchExport(job.id, { initial: job, signal })) {
      if (error) throw error;
      if (now?.status === 'error') throw new Error(`${name}: ${now.error}`);
      if (now?.status !== 'complete') continue;
      const { width, height, frames } = now.output;
      return v.parse(Trace, {
        name,
        inputSize: now.input_size,
        options: now.options,
        hardware: now.cost?.gpu[0]?.hardware,
        claimedAt: now.started_at,
        completedAt: now.completed_at,
        megapixels: ((width ?? 0) * (height ?? 0) * (frames ?? 0)) / 1e6,
        told: this.#told,
      });
    }
    throw new Error(`${name} did not end`);
  }
}
