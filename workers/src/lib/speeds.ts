import { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { MAX_SPEEDS, Speed, kindsOf, sampleOf, speedsOf } from '../job/forecast.ts';
import type { Sample } from '../job/forecast.ts';
import { logError } from './log.ts';

// Responsible for how fast exports were: measured once an hour from what D1 has of the newest ones, read
// when a job is made. No job writes a row for it.

/** So many of the newest finished exports are measured of each of so many tenants, drawn by lot. */
const SAMPLE = { exports: 500, tenants: 10 } as const;
/** What was measured longer ago than this is forgotten, ms. */
const KEEP_MS = 30 * 24 * 60 * 60_000;
/** How long an isolate believes what it has read, ms. */
const BELIEVE_MS = 10 * 60_000;

const View = v.pipe(v.string(), v.parseJson(), ExportJob);
const Measured = v.object({ ...Speed.entries, kind: v.string() });

/** From one tenant to the next by the index: a step costs a row, whatever is between. */
const FINISHED = `WITH RECURSIVE tenants (tenant) AS (
    SELECT min(tenant) FROM export_jobs WHERE status = 'complete'
    UNION ALL
    SELECT (SELECT min(tenant) FROM export_jobs WHERE status = 'complete' AND tenant > t.tenant)
    FROM tenants t WHERE t.tenant IS NOT NULL
  )
  SELECT j.view
  FROM (SELECT tenant FROM tenants WHERE tenant IS NOT NULL ORDER BY random() LIMIT ?1) t
  CROSS JOIN export_jobs j ON j.id IN (
    SELECT id FROM export_jobs WHERE status = 'complete' AND tenant = t.tenant
    ORDER BY created_at DESC, id DESC LIMIT ?2)
  WHERE j.view IS NOT NULL`;

const WRITE = `INSERT INTO export_speeds (kind, hardware, unit, samples, mean, deviation, measured_at)
  SELECT value ->> 'kind', value ->> 'hardware', value ->> 'unit', value ->> 'samples',
    value ->> 'mean', value ->> 'deviation', ?2 FROM json_each(?1) WHERE true
  ON CONFLICT DO UPDATE SET samples = excluded.samples, mean = excluded.mean,
    deviation = excluded.deviation, measured_at = excluded.measured_at`;

/** Measures when the first minute of an hour is due. Never rejects: without it estimates are only older. */
export async function measureHourly(db: D1Database, now: number): Promise<void> {
  if (new Date(now).getUTCMinutes() !== 0) return;
  try {
    await measureSpeeds(db, now);
  } catch (error) {
    logError('speeds', { error: String(error) });
  }
}

/** Measures how fast the newest exports were. */
export async function measureSpeeds(db: D1Database, now: number): Promise<void> {
  const { results } = await db.prepare(FINISHED).bind(SAMPLE.tenants, SAMPLE.exports).all();
  const rows = v.parse(v.array(v.object({ view: v.string() })), results);
  const kinds = [...speedsOf(rows.flatMap(({ view }) => samplesIn(view)))];
  const measured = kinds.flatMap(([kind, speeds]) => speeds.map((speed) => ({ kind, ...speed })));
  if (measured.length === 0) return;
  await db.prepare(WRITE).bind(JSON.stringify(measured), now).run();
  await db
    .prepare('DELETE FROM export_speeds WHERE measured_at < ?')
    .bind(now - KEEP_MS)
    .run();
}

/** A view that another version wrote, and this one cannot read, teaches nothing. */
function samplesIn(view: string): Sample[] {
  const parsed = v.safeParse(View, view);
  const sample = parsed.success ? sampleOf(parsed.output) : null;
  return sample === null ? [] : [sample];
}

const believed = new Map<string, { readonly until: number; readonly speeds: readonly Speed[] }>();

/**
 * How fast exports like this were: for each hardware and unit, the most alike of which there are enough; of too
 * many those with the most samples.
 */
export async function knownSpeeds(
  db: D1Database,
  options: Sample['options'],
  now: number,
): Promise<Speed[]> {
  const kinds = kindsOf(options);
  const [kind, wide] = kinds;
  const known = believed.get(kind);
  if (known !== undefined && now < known.until) return [...known.speeds];
  try {
    const { results } = await db
      .prepare('SELECT * FROM export_speeds WHERE kind IN (?, ?)')
      .bind(kind, wide)
      .all();
    const speeds = closest(v.parse(v.array(Measured), results), kinds);
    believed.set(kind, { until: now + BELIEVE_MS, speeds });
    return speeds;
  } catch (error) {
    // A job can be made without; whether D1 is there is for others to say.
    logError('speeds', { error: String(error) });
    return [];
  }
}

function closest(measured: readonly v.InferOutput<typeof Measured>[], kinds: readonly string[]) {
  const found = new Map<string, Speed>();
  for (const kind of kinds.toReversed()) {
    for (const { kind: of, ...speed } of measured) {
      if (of === kind) found.set(`${speed.unit} ${speed.hardware}`, speed);
    }
  }
  return [...found.values()].toSorted((a, b) => b.samples - a.samples).slice(0, MAX_SPEEDS);
}
