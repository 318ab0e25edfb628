import * as fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import type { Caller, Decision, JobEvent } from './events.ts';
import { at, claim, completion, crash, init, report } from './fixtures.ts';
import { brokenByNote, brokenInvariants } from './invariants.ts';
import { isEnded } from './job.ts';
import type { Job } from './job.ts';
import { transition } from './machine.ts';
import { policy } from './fixtures.ts';
import { nextWakeAt } from './schedule.ts';

// The machine against a model of a few numbers. Commands know from the model what is valid now, so
// that long histories happen; some are invalid on purpose, and must change nothing.

/** How to run one history again: Node's environment. */
const Process = v.object({
  env: v.object({
    FUZZ_SEED: v.optional(v.string()),
    FUZZ_PATH: v.optional(v.string()),
    FUZZ_REPLAY: v.optional(v.string()),
    FUZZ_RUNS: v.optional(v.string()),
  }),
});

/** What a bystander would remember of the job. */
interface Model {
  phase: 'none' | 'waiting' | 'running' | 'ended';
  attempt: number;
  epoch: number;
  progress: number;
  reports: number;
}

/** The machine, with its clock. */
interface World {
  job: Job | null;
  ms: number;
}

/** Lets an event happen and checks what must hold of any event. */
function happen(world: World, event: JobEvent, forgot = false): Decision {
  const before = structuredClone(world.job);
  const decision = transition(world.job, event, { ...at(world.ms), forgot });
  expect(world.job).toEqual(before);
  if (decision.kind === 'refused') return decision;
  if (decision.kind === 'changed') {
    expect(brokenInvariants(world.job, decision.job, policy)).toEqual([]);
    const wake = nextWakeAt(decision.job, null, policy);
    expect(wake).not.toBeNull();
    if (!isEnded(decision.job)) expect(wake).toBeLessThanOrEqual(decision.job.deadlineAt);
  } else if (decision.kind === 'noted') {
    expect(brokenByNote(world.job, decision.job)).toEqual([]);
  } else {
    expect(decision.job).toBe(world.job);
  }
  world.job = decision.job;
  // A report is a stream; any other call that comes twice must find nothing left to do.
  if (event.type !== 'progress' && event.type !== 'verifying' && event.type !== 'tick') {
    expect(transition(world.job, event, at(world.ms)).kind).not.toMatch('changed|noted');
  }
  return decision;
}

/** Reads the model off the job: what anybody could have seen. */
function look(model: Model, world: World): void {
  const { job } = world;
  if (!job) return;
  model.phase = isEnded(job) ? 'ended' : job.state === 'running' ? 'running' : 'waiting';
  model.attempt = job.attempt;
  model.epoch = job.state === 'running' ? (job.owner?.epoch ?? 0) : 0;
  model.progress = job.progress;
}

type Command = fc.Command<Model, World>;

function command(name: string, when: (m: Model) => boolean, run: (m: Model, w: World) => void) {
  return {
    check: when,
    run(model, world) {
      run(model, world);
      look(model, world);
    },
    toString: () => name,
  } satisfies Command;
}

const owner = (m: Model): NonNullable<Caller> => ({ attempt: m.attempt, epoch: m.epoch });
const live = (m: Model) => m.phase === 'waiting' || m.phase === 'running';
const running = (m: Model) => m.phase === 'running';

const commands = [
  fc.constant(
    command(
      'init',
      () => true,
      (m, w) => {
        const decision = happen(w, init);
        expect(decision.kind).toBe(m.phase === 'none' ? 'changed' : 'unchanged');
      },
    ),
  ),
  fc.constant(
    command(
      'init of another request',
      (m) => m.phase !== 'none',
      (_, w) => expect(happen(w, { ...init, requestHash: 'h2' }).kind).toBe('refused'),
    ),
  ),
  fc.tuple(fc.integer({ min: 0, max: 120_000 }), fc.boolean()).map(([ms, forgot]) =>
    command(
      `time ${ms}${forgot ? ', and memory is lost' : ''}`,
      (m) => m.phase !== 'none',
      (_, w) => {
        w.ms += ms;
        happen(w, { type: 'tick' }, forgot);
      },
    ),
  ),
  fc.constantFrom('remote-1', 'remote-2').map((remoteId) =>
    command(`handed over as ${remoteId}`, live, (m, w) => {
      happen(w, { type: 'dispatched', attempt: m.attempt, remoteId });
    }),
  ),
  fc.constant(
    command('hand-over refused', live, (m, w) => {
      happen(w, { type: 'dispatch_failed', attempt: m.attempt });
    }),
  ),
  fc.constant(
    command('the hand-over has no answer', live, (m, w) => {
      happen(w, { type: 'dispatch_unknown', attempt: m.attempt });
    }),
  ),
  fc.constantFrom('remote-1', 'remote-2', null).map((remoteId) =>
    command(`a hint about ${remoteId}`, live, (m, w) => {
      happen(w, { type: 'hint', attempt: m.attempt, remoteId });
    }),
  ),
  fc
    .tuple(
      fc.constantFrom('remote-1', 'remote-2'),
      fc.constantFrom('unknown', 'queued', 'working', 'over', 'timed_out' as const),
      fc.constantFrom('throttled', null),
    )
    .map(([remoteId, status, waiting]) =>
      command(`the provider says ${remoteId} is ${status}`, live, (_, w) => {
        happen(w, { type: 'provider_says', remoteId, status, waiting });
      }),
    ),
  fc
    .tuple(fc.constantFrom('process-one', 'process-two'), fc.constantFrom('remote-1', 'remote-2'))
    .map(([nonce, remoteId]) =>
      command(`claim by ${nonce} as ${remoteId}`, live, (m, w) => {
        happen(w, { ...claim, attempt: m.attempt, nonce, remoteId });
      }),
    ),
  fc.double({ min: 0, max: 100, noNaN: true }).map((percent) =>
    command(`report ${percent}`, running, (m, w) => {
      m.reports += 1;
      const before = m.progress;
      expect(happen(w, report(percent, m.reports, owner(m))).kind).toBe('noted');
      // As fine as a number tells it.
      const told = Math.floor(percent * 10 + 1e-6) / 10;
      expect(w.job?.progress).toBe(Math.min(99.9, Math.max(before, told)));
    }),
  ),
  fc.constant(
    command('the socket closes', live, (m, w) => {
      happen(w, { type: 'hung_up', by: owner(m) });
    }),
  ),
  fc.constant(
    command('done', running, (m, w) => {
      happen(w, { type: 'verifying', from: owner(m), bySocket: false });
    }),
  ),
  fc.constant(
    command('complete', running, (m, w) => {
      expect(happen(w, { ...completion, from: owner(m) }).kind).toBe('changed');
      expect(w.job).toMatchObject({ state: 'complete', progress: 100 });
    }),
  ),
  fc
    .tuple(
      fc.boolean(),
      fc.constantFrom('encoder_failed', 'upload_failed', 'renderer_shutdown' as const),
    )
    .map(([mayRetry, code]) =>
      command(`error ${code}, retry ${mayRetry}`, running, (m, w) => {
        const from = owner(m);
        expect(happen(w, { ...crash, failure: { code, message: '' }, mayRetry, from }).kind).toBe(
          'changed',
        );
      }),
    ),
  fc.constant(
    command('a lost output is found', live, (_, w) => {
      happen(w, { type: 'adopt', by: { attempt: 1, epoch: 1 }, output: completion.output });
      expect(w.job?.state).toBe('complete');
    }),
  ),
  fc.constant(
    command('no lost output is found', live, (m, w) => {
      const by = w.job?.state === 'adopting' ? w.job.by : { attempt: m.attempt, epoch: 1 };
      const wasLast = w.job?.state === 'adopting';
      happen(w, { type: 'nothing_found', by });
      expect(w.job?.state === 'failed').toBe(wasLast);
    }),
  ),
  fc.constant(
    command('cancel', live, (_, w) => {
      expect(happen(w, { type: 'cancel' })).toMatchObject({ job: { state: 'cancelled' } });
    }),
  ),
  fc
    .tuple(fc.constantFrom('progress', 'complete', 'error', 'verifying' as const), fc.boolean())
    .map(([type, byHand]) =>
      command(
        `${type} from ${byHand ? 'nobody' : 'the past'}`,
        (m) => m.phase !== 'none',
        (m, w) => {
          const from = byHand ? null : { attempt: m.attempt - 1, epoch: 1 };
          const before = w.job;
          const stale = {
            progress: report(50, 99, from),
            complete: { ...completion, from },
            error: { ...crash, from },
            verifying: { type: 'verifying', from, bySocket: false },
          } satisfies Record<typeof type, JobEvent>;
          const decision = happen(w, stale[type]);
          // Only the repeat of the very call that closed or completed an attempt is no refusal.
          if (decision.kind !== 'unchanged') expect(decision.kind).toBe('refused');
          expect(w.job).toBe(before);
        },
      ),
    ),
];

describe('any history of the job', () => {
  it('keeps every invariant, and agrees with the model (I1, I2, I3, I3b, I6b, I10, I12, I13, I15)', () => {
    const { FUZZ_SEED, FUZZ_PATH, FUZZ_REPLAY, FUZZ_RUNS } = v.parse(
      Process,
      Reflect.get(globalThis, 'process'),
    ).env;
    const replay = FUZZ_REPLAY ? { replayPath: FUZZ_REPLAY } : {};
    const details = fc.check(
      fc.property(fc.commands(commands, { maxCommands: 80, size: 'max', ...replay }), (history) => {
        const setup = () => ({
          model: { phase: 'none', attempt: 1, epoch: 0, progress: 0, reports: 0 } as Model,
          real: { job: null, ms: 0 } as World,
        });
        fc.modelRun(setup, history);
      }),
      {
        numRuns: Number(FUZZ_RUNS ?? 2000),
        ...(FUZZ_SEED ? { seed: Number(FUZZ_SEED) } : {}),
        ...(FUZZ_PATH ? { path: FUZZ_PATH } : {}),
      },
    );
    if (!details.failed) return;
    const said = fc.stringify(details.counterexample);
    const path = /replayPath="([^"]*)"/.exec(said)?.[1] ?? '';
    const again = `FUZZ_SEED=${details.seed} FUZZ_PATH=${details.counterexamplePath} FUZZ_REPLAY='${path}' npx vitest run --project node workers/src/job/properties.test.ts`;
    throw new Error(`${said}\n\nAgain: ${again}`, { cause: details.errorInstance });
  });
});
