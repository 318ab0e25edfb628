import { describe, expect, it } from 'vitest';
import type { EventOf, JobEvent } from './events.ts';
import {
  at,
  changedJob,
  T0,
  claim,
  completion,
  crash,
  init,
  jobByHand,
  jobIn,
  owner,
  policy,
  report,
  run,
} from './fixtures.ts';
import type { Job } from './job.ts';
import { SEQ_STEP, overallOf, seenProgress } from './attempt.ts';
import { spendBy } from './cost.ts';
import { transition } from './machine.ts';
import { STATES, TABLE } from './expected-table.ts';

const stop = 'stop:remote-1';

const EVENTS: { [T in JobEvent['type']]: EventOf<T> } = {
  init,
  dispatched: { type: 'dispatched', attempt: 1, remoteId: 'remote-1' },
  dispatch_failed: { type: 'dispatch_failed', attempt: 1 },
  dispatch_unknown: { type: 'dispatch_unknown', attempt: 1 },
  hint: { type: 'hint', attempt: 1, remoteId: 'remote-1' },
  provider_says: { type: 'provider_says', remoteId: 'remote-1', status: 'over', waiting: null },
  claim,
  progress: report(40, 1),
  verifying: { type: 'verifying', from: owner, bySocket: false },
  complete: completion,
  adopt: { type: 'adopt', by: owner, output: completion.output },
  nothing_found: { type: 'nothing_found', by: owner },
  error: crash,
  hung_up: { type: 'hung_up', by: owner },
  cancel: { type: 'cancel' },
  tick: { type: 'tick' },
};

function outcome(job: Job | null, event: JobEvent, ms = 4000): string {
  const decision = transition(job, event, at(ms));
  if (decision.kind === 'refused') return `! ${decision.code}`;
  if (decision.kind === 'unchanged' && decision.job !== job) return 'unchanged, but another job';
  const signs = { changed: decision.job.state, noted: '+', unchanged: '=' };
  const state = signs[decision.kind];
  return [state, ...(decision.effects ?? [])].join(' ');
}

describe('the table', () => {
  for (const state of STATES) {
    for (const event of Object.values(EVENTS)) {
      const expected = TABLE[state][event.type];
      it(`${state} + ${event.type} -> ${expected}`, () => {
        expect(outcome(state === 'none' ? null : jobIn(state), event)).toBe(expected);
      });
    }
  }
});

describe('attempts', () => {
  it('three failures of its own end the job, the third without a retry (I10)', () => {
    let job: Job = jobIn('running');
    for (const attempt of [1, 2]) {
      job = changedJob(transition(job, { ...crash, from: { attempt, epoch: 1 } }, at(10_000)));
      expect(job).toMatchObject({ state: 'retry_wait', attempt: attempt + 1, failures: attempt });
      job = run(job, [{ type: 'tick' }, { ...claim, attempt: attempt + 1 }], 20_000);
    }
    const last = transition(job, { ...crash, from: { attempt: 3, epoch: 1 } }, at(30_000));
    expect(changedJob(last)).toMatchObject({ state: 'failed', attempt: 3, failures: 3 });
  });

  it('attempts that the platform loses are charged to a budget of their own', () => {
    let job: Job = jobIn('running');
    for (let lost = 1; lost <= policy.max_losses; lost += 1) {
      job = changedJob(transition(job, { type: 'tick' }, at(lost * 1_000_000)));
      expect(job).toMatchObject({ state: 'retry_wait', failures: 0, losses: lost });
      job = run(
        job,
        [{ type: 'tick' }, { ...claim, attempt: lost + 1 }],
        lost * 1_000_000 + 400_000,
      );
    }
    expect(changedJob(transition(job, { type: 'tick' }, at(9_000_000)))).toMatchObject({
      state: 'adopting',
      losses: policy.max_losses + 1,
    });
  });

  it('should_retry:false ends the job, and a hopeless input does so by itself', () => {
    const never = transition(jobIn('running'), { ...crash, mayRetry: false }, at(5000));
    expect(changedJob(never).state).toBe('failed');
    expect(jobIn('failed')).toMatchObject({ attempt: 1, failure: { code: 'input_invalid' } });
  });

  it('a retry starts its progress anew and remembers why', () => {
    const far = run(jobIn('running'), [report(60, 1)], 5000);
    const job = changedJob(transition(far, crash, at(6000)));
    expect(job).toMatchObject({ progress: 0, lastFailure: { code: 'encoder_failed' } });
  });

  it('a retry takes nothing back of what a bar showed, and shares out what is left (I2)', () => {
    const far = run(jobIn('running'), [report(60, 1)], 5000);
    const waiting = changedJob(transition(far, crash, at(6000)));
    expect([far, waiting].map(overallOf)).toEqual([60, 60]);
    const half = run(
      waiting,
      [{ type: 'tick' }, { ...claim, attempt: 2 }, report(50, 1, { attempt: 2, epoch: 1 })],
      20_000,
    );
    expect(half.progress).toBe(50);
    expect(overallOf(half)).toBe(80);
    const end = { ...completion, from: { attempt: 2, epoch: 1 } };
    expect(overallOf(run(half, [report(100, 2, end.from)], 30_000))).toBeLessThan(100);
    expect(overallOf(run(half, [end], 30_000))).toBe(100);
  });

  it('waits half of the capped delay plus jitter, never nothing', () => {
    const wait = (random: number) => {
      const job = changedJob(transition(jobIn('running'), crash, at(5000, random)));
      return job.state === 'retry_wait' ? job.retryAt - job.updatedAt : null;
    };
    expect(wait(0)).toBe(policy.retry_base_ms / 2);
    expect(wait(0.999)).toBeCloseTo(policy.retry_base_ms, -1);
  });
});

describe('fencing', () => {
  it('a twin of the owner, dispatched twice, may not claim (I3b)', () => {
    const twin = { ...claim, nonce: 'process-two', remoteId: 'remote-2' };
    expect(outcome(jobIn('running'), twin)).toBe('! not_owner');
  });

  it('the loser of a doubled hand-over is stopped, whichever way the answers come', () => {
    const late: JobEvent = { type: 'dispatched', attempt: 1, remoteId: 'remote-2' };
    expect(outcome(jobIn('running'), late)).toBe('= stop:remote-2');
    const winner = { ...claim, remoteId: 'remote-2' };
    expect(outcome(jobIn('dispatched'), winner)).toBe(`running mirror ${stop}`);
  });

  it('a redelivered job fences the older process by a higher epoch (I3)', () => {
    const job = run(jobIn('running'), [{ ...claim, nonce: 'process-two' }], 5000);
    expect(job).toMatchObject({ attempt: 1, owner: { epoch: 2, nonce: 'process-two' } });
    expect(outcome(job, report(50, 9))).toBe('! not_owner');
    expect(outcome(job, completion)).toBe('! not_owner');
    expect(outcome(job, report(50, 1, { attempt: 1, epoch: 2 }))).toBe('+');
  });

  it('a call of an earlier attempt changes nothing', () => {
    const second = run(jobIn('retry_wait'), [{ type: 'tick' }, { ...claim, attempt: 2 }], 20_000);
    expect(outcome(second, report(99, 5), 30_000)).toBe('! stale_attempt');
    expect(outcome(second, completion, 30_000)).toBe('! stale_attempt');
  });

  it('a call without a token may not touch a job that was dispatched (S1)', () => {
    expect(outcome(jobIn('running'), report(50, 1, null))).toBe('! not_owner');
    expect(outcome(jobIn('running'), { ...completion, from: null })).toBe('! not_owner');
  });

  it('another request under the same id is refused (I13, S6)', () => {
    expect(outcome(jobIn('running'), { ...init, requestHash: 'h2' })).toBe(
      '! idempotency_conflict',
    );
  });
});

describe('progress', () => {
  it('never falls within an attempt and never says 100 before the file is there (I2)', () => {
    const job = run(jobIn('running'), [report(60, 1), report(40, 2), report(100, 3)], 5000);
    expect(run(jobIn('running'), [report(60, 1), report(40, 2)], 5000).progress).toBe(60);
    expect(job.progress).toBe(99.9);
  });

  it('a report that comes twice or out of order is acknowledged and ignored (S3)', () => {
    const job = run(jobIn('running'), [report(60, 5)], 5000);
    expect(outcome(job, report(70, 5), 6000)).toBe('=');
    expect(outcome(job, report(70, 4), 6000)).toBe('=');
  });

  it('renews the lease; silence for longer than it loses the attempt (I6, S16)', () => {
    const job = run(jobIn('running'), [report(60, 1)], 40_000);
    expect(job).toMatchObject({ state: 'running', leaseUntil: 40_000 + policy.lease_ms + T0 });
    expect(outcome(job, { type: 'tick' }, 40_000 + policy.lease_ms - 1)).toBe('=');
    expect(outcome(job, { type: 'tick' }, 40_000 + policy.lease_ms)).toBe(
      `retry_wait mirror ${stop} adopt:1.1`,
    );
  });

  it('a renderer that says it is done keeps its lease while its file is looked at', () => {
    const job = run(
      jobIn('running'),
      [{ type: 'verifying', from: owner, bySocket: false }],
      40_000,
    );
    expect(job).toMatchObject({ stage: 'verifying', leaseUntil: job.updatedAt + policy.lease_ms });
  });

  it('reaches D1 with each report by hand, and of a dispatched job with none', () => {
    expect(outcome(jobByHand(), report(10, 0, null))).toBe('running mirror');
    expect(outcome(jobIn('running'), report(2, 1), 600_000 / 10)).toBe('+');
  });

  it('is told by its number: the permille above the last change (I4)', () => {
    const claimed = jobIn('running');
    const seq = (percent: number) => run(claimed, [report(percent, 1)], 5000).seq - claimed.seq;
    expect([0, 0.04, 0.1, 48, 99.99].map(seq)).toEqual([0, 0, 1, 480, 999]);
    expect(run(claimed, [report(48, 1), crash], 5000).seq).toBe(claimed.seq + SEQ_STEP);
    const job = run(claimed, [report(48, 1)], 5000);
    expect(seenProgress(claimed, job.seq)).toBe(48);
    expect(seenProgress(run(job, [crash], 6000), job.seq)).toBe(0);
  });
});

describe('reports that were lost with the memory', () => {
  const forgot = (ms: number) => ({ ...at(ms), forgot: true });
  const late = 2000 + policy.lease_ms;

  it('cost a renderer nothing: it has a whole lease from when that was found, once (I6)', () => {
    const found = transition(jobIn('running'), { type: 'tick' }, forgot(late));
    expect(found).toMatchObject({ kind: 'noted', isKept: true, isNews: false });
    const doubtful = found.kind === 'noted' ? found.job : null;
    // Asleep and forgotten once more, with nothing heard: the doubt is not granted twice.
    const again = transition(doubtful, { type: 'tick' }, forgot(late + policy.lease_ms - 1));
    expect(again).toMatchObject({ kind: 'noted', effects: ['ask:remote-1'] });
    const over = transition(doubtful, { type: 'tick' }, forgot(late + policy.lease_ms));
    expect(changedJob(over)).toMatchObject({ lastFailure: { code: 'renderer_lost' } });
  });

  it('are made up for by the next one, which is kept', () => {
    const found = transition(jobIn('running'), { type: 'tick' }, forgot(late));
    if (found.kind !== 'noted') throw new Error(found.kind);
    const heard = transition(found.job, report(50, 9), at(late + 5000));
    expect(heard).toMatchObject({ kind: 'noted', isKept: true, job: { quietSince: null } });
    const next = transition(
      heard.kind === 'noted' ? heard.job : null,
      report(51, 10),
      at(late + 6000),
    );
    expect(next).toMatchObject({ kind: 'noted', isKept: false });
  });

  it('do not make a renderer that moves look stalled', () => {
    const bound = { leaseUntil: T0 + 1e9 };
    const stale = { ...jobIn('running'), ...bound };
    const found = transition(stale, { type: 'tick' }, forgot(policy.stall_ms * 2));
    const doubtful = found.kind === 'noted' ? found.job : stale;
    // Not even when a late copy of its first report ends the doubt, which moves nothing.
    const echoed = run(doubtful, [report(0, 1)], policy.stall_ms * 2 + 5);
    expect(outcome({ ...echoed, ...bound }, { type: 'tick' }, policy.stall_ms * 3 - 1)).toBe('=');
    expect(outcome(doubtful, { type: 'tick' }, policy.stall_ms * 3 - 1)).toMatch(/^\+/);
    const over = transition(doubtful, { type: 'tick' }, at(policy.stall_ms * 3));
    expect(changedJob(over)).toMatchObject({ lastFailure: { code: 'encoder_stalled' } });
  });
});

describe('what a job may cost', () => {
  const prices = { gpu_prices: { 'RTX 9000': 0.001 } };
  const given = (ms: number) => ({ ...at(ms), policy: { ...policy, ...prices } });
  const request = { ...init.request, maxDollars: 0.1 };
  const dispatched = run(null, [{ ...init, request }, EVENTS.dispatched]);
  const claimed = changedJob(
    transition(dispatched, { ...claim, hardware: 'RTX 9000' }, given(2000)),
  );
  const beat = (job: Job, ms: number) => {
    const decision = transition(job, report(ms / 2000, ms), given(ms));
    return decision.kind === 'noted' ? decision.job : job;
  };

  it('ends it, once its renderers have cost that much', () => {
    const job = beat(claimed, 60_000);
    expect(transition(job, { type: 'tick' }, given(101_999)).kind).toBe('unchanged');
    const over = transition(job, { type: 'tick' }, given(102_000));
    expect(over).toMatchObject({
      job: {
        state: 'adopting',
        failure: { code: 'spend_cap_reached' },
        gpu: { 'RTX 9000': 100_000 },
      },
      effects: [stop, 'adopt:1.1'],
    });
  });

  it('counts every attempt, and starts no other when nothing is left', () => {
    const second = { ...claim, attempt: 2, nonce: 'process-two', hardware: 'RTX 9000' };
    let job: Job = changedJob(transition(beat(claimed, 40_000), crash, given(62_000)));
    job = changedJob(transition(job, { type: 'tick' }, given(70_000)));
    job = changedJob(transition(job, second, given(80_000)));
    const from = { attempt: 2, epoch: 1 };
    const soon = transition(job, { ...crash, from }, given(119_999));
    expect(changedJob(soon)).toMatchObject({ state: 'retry_wait', gpu: { 'RTX 9000': 99_999 } });
    job = { ...job, updatedAt: T0 + 120_000 };
    expect(changedJob(transition(job, { ...crash, from }, given(120_000)))).toMatchObject({
      state: 'failed',
      failure: { code: 'spend_cap_reached' },
    });
  });

  it('is no limit for who has none', () => {
    const job = changedJob(
      transition(jobIn('dispatched'), { ...claim, hardware: 'RTX 9000' }, given(2000)),
    );
    expect(spendBy(job.state === 'running' ? job : jobIn('running'), policy)).toBe(Infinity);
  });
});

describe('deadlines', () => {
  it('a renderer that never comes loses the attempt', () => {
    const job = jobIn('dispatched');
    expect(outcome(job, { type: 'tick' }, 2000 + policy.start_ms)).toBe(
      `retry_wait mirror ${stop}`,
    );
  });

  it('an attempt ends at its deadline though it goes on reporting', () => {
    let job: Job = jobIn('running');
    for (let ms = 30_000; ms < policy.attempt_ms; ms += 30_000) job = run(job, [report(5, ms)], ms);
    const late = transition(job, { type: 'tick' }, at(policy.attempt_ms + 3000));
    expect(changedJob(late)).toMatchObject({ lastFailure: { code: 'attempt_timeout' } });
  });

  it('no job outlives its own deadline, whatever it is doing (I6)', () => {
    for (const state of ['dispatching', 'dispatched', 'retry_wait'] as const) {
      const late = transition(jobIn(state), { type: 'tick' }, at(policy.job_ms));
      expect(changedJob(late)).toMatchObject({ state: 'failed', failure: { code: 'job_timeout' } });
    }
  });
});

describe('a job whose own time is up while it runs', () => {
  it('takes the output that may be there, and else fails soon after (I6, I7)', () => {
    const late = transition(jobIn('running'), { type: 'tick' }, at(policy.job_ms));
    expect(late).toMatchObject({
      job: { state: 'adopting', failure: { code: 'job_timeout' } },
      effects: [stop, 'adopt:1.1'],
    });
    const job = changedJob(late);
    expect(outcome(job, { type: 'tick' }, policy.job_ms + policy.look_ms - 1)).toBe('=');
    const end = transition(job, { type: 'tick' }, at(policy.job_ms + policy.look_ms));
    expect(changedJob(end)).toMatchObject({ state: 'failed', failure: { code: 'job_timeout' } });
  });
});

describe('a renderer that gets nowhere', () => {
  it('loses its attempt though it goes on reporting the same', () => {
    let job: Job = run(jobIn('running'), [{ ...report(5, 1), stage: 'rendering' }], 1000);
    for (let ms = 31_000; ms <= policy.stall_ms; ms += 30_000) job = run(job, [report(5, ms)], ms);
    const late = transition(job, { type: 'tick' }, at(policy.stall_ms + 1000));
    expect(changedJob(late)).toMatchObject({ lastFailure: { code: 'encoder_stalled' } });
    const moving = run(job, [report(6, 1e9)], policy.stall_ms);
    expect(outcome(moving, { type: 'tick' }, policy.stall_ms + 1000)).toBe('=');
  });

  it('is judged by its own reports after a redelivery, not by those of the one before', () => {
    const far = { ...report(80, 1), stage: 'rendering' } as const;
    let job: Job = run(jobIn('running'), [far], 1000);
    job = run(job, [{ ...claim, nonce: 'process-two' }], 5000);
    for (let n = 1; n < 100; n += 1) {
      const from = { attempt: 1, epoch: 2 };
      job = run(job, [{ ...report(n / 10, n, from), stage: 'rendering' }], 5000 + n * 10_000);
    }
    expect(job).toMatchObject({ state: 'running', attempt: 1, progress: 80 });
  });

  it('may not stay in a stage but rendering for ever', () => {
    let job: Job = run(jobIn('running'), [{ ...report(1, 1), stage: 'downloading' }], 0);
    for (let ms = 30_000; ms < policy.stage_ms; ms += 30_000) {
      job = run(job, [report(1 + ms / 1e7, ms)], ms);
    }
    const late = transition(job, { type: 'tick' }, at(policy.stage_ms));
    expect(changedJob(late)).toMatchObject({ lastFailure: { code: 'attempt_timeout' } });
  });
});

describe('a finished output whose renderer was lost', () => {
  const adopt: JobEvent = { type: 'adopt', by: owner, output: completion.output };
  const lost = transition(jobIn('running'), { type: 'tick' }, at(200_000));

  it('is looked for when the lease runs out, and completes the job', () => {
    expect(lost).toMatchObject({ effects: ['mirror', stop, 'adopt:1.1'] });
    const job = changedJob(transition(changedJob(lost), adopt, at(201_000)));
    expect(job).toMatchObject({ state: 'complete', verified: true, by: owner, attempt: 2 });
  });

  it('completes it also when the next attempt is under way, which is stopped', () => {
    const next = { ...claim, attempt: 2, remoteId: 'remote-2', nonce: 'process-two' };
    const second = run(changedJob(lost), [{ type: 'tick' }, next], 210_000);
    expect(outcome(second, adopt, 220_000)).toBe('complete mirror stop:remote-2 discard');
  });
});

describe('an error of what the attempt stands on', () => {
  it('may come after the output was stored, which is looked for (I7)', () => {
    const gone = { code: 'renderer_shutdown', message: '' } as const;
    expect(outcome(jobIn('running'), { ...crash, failure: gone })).toBe(
      `retry_wait mirror ${stop} adopt:1.1`,
    );
    const last = { ...jobIn('running'), losses: policy.max_losses };
    expect(outcome(last, { ...crash, failure: gone })).toBe(`adopting ${stop} adopt:1.1`);
    expect(outcome(last, crash)).toBe(`retry_wait mirror ${stop}`);
  });
});

describe('the last attempt, lost in silence', () => {
  const last = { ...jobIn('running'), losses: policy.max_losses };

  it('fails the job only after its output was looked for (I7)', () => {
    const lost = transition(last, { type: 'tick' }, at(200_000));
    expect(lost).toMatchObject({
      job: { state: 'adopting' },
      effects: [stop, 'adopt:1.1'],
    });
    const found = { type: 'adopt', by: owner, output: completion.output } as const;
    expect(outcome(changedJob(lost), found, 201_000)).toBe('complete mirror');
    const failed = transition(changedJob(lost), { type: 'nothing_found', by: owner }, at(201_000));
    expect(changedJob(failed)).toMatchObject({
      state: 'failed',
      failure: { code: 'renderer_lost' },
      losses: policy.max_losses + 1,
    });
  });

  it('fails it for its own reason should storage be away until the deadline (I6)', () => {
    const lost = changedJob(transition(last, { type: 'tick' }, at(200_000)));
    const late = transition(lost, { type: 'tick' }, at(policy.job_ms));
    expect(changedJob(late)).toMatchObject({ failure: { code: 'renderer_lost' } });
  });

  it('is not ended by what was found of another attempt', () => {
    const lost = changedJob(transition(last, { type: 'tick' }, at(200_000)));
    const by = { attempt: 1, epoch: 2 };
    expect(outcome(lost, { type: 'nothing_found', by }, 201_000)).toBe('=');
  });

  it('of a job by hand fails it at once, for nobody says where its output would be', () => {
    const job = { ...run(jobByHand(), [report(10, 0, null)]), losses: policy.max_losses };
    const late = transition(job, { type: 'tick' }, at(policy.manual_lease_ms + 5000));
    expect(changedJob(late)).toMatchObject({ state: 'failed' });
  });
});

describe('a hand-over without an answer', () => {
  const unknown = { type: 'dispatch_unknown', attempt: 1 } as const;
  const doubtful = run(jobIn('dispatching'), [unknown], 1000);

  it('is repeated only when nobody has claimed it for a while (I14b)', () => {
    expect(outcome(doubtful, { type: 'tick' }, 1000 + policy.unknown_ms - 1)).toBe('=');
    expect(outcome(doubtful, { type: 'tick' }, 1000 + policy.unknown_ms)).toBe(
      'dispatching dispatch:1',
    );
  });

  it('waits longer each time, so that an outage does not fill the queue with twins', () => {
    let job: Job = jobIn('dispatching');
    const waits: number[] = [];
    for (let ms = 0; waits.length < 8;) {
      job = run(job, [unknown], ms);
      const startBy = job.state === 'dispatched' ? job.startBy - T0 : 0;
      waits.push(startBy - ms);
      ms = startBy;
      job = run(job, [{ type: 'tick' }], ms);
    }
    expect(waits.slice(0, 3)).toEqual([1, 2, 4].map((n) => n * policy.unknown_ms));
    expect(waits.at(-1)).toBe(policy.start_ms / 3);
  });

  it('costs no attempt and no budget', () => {
    const again = run(doubtful, [{ type: 'tick' }], 1000 + policy.unknown_ms);
    expect(again).toMatchObject({ attempt: 1, losses: 0, failures: 0, outages: 0 });
  });

  it('is settled by the claim of whoever took it', () => {
    const claimed = run(doubtful, [claim], 2000);
    expect(claimed).toMatchObject({ state: 'running', attempt: 1, remoteId: 'remote-1' });
  });

  it('is settled by the provider’s webhook, which names the job', () => {
    const hinted = run(doubtful, [EVENTS.hint], 2000);
    const startBy = 2000 + T0 + policy.start_ms;
    expect(hinted).toMatchObject({ state: 'dispatched', remoteId: 'remote-1', startBy });
  });
});

describe('the provider’s word', () => {
  const says = { ...EVENTS.provider_says, status: 'queued' } as const;

  it('is asked for while a job waits there, later and later', () => {
    let job: Job = jobIn('dispatched');
    const waits: number[] = [];
    for (let ms = 1000; waits.length < 6;) {
      const askAt = job.state === 'dispatched' ? job.askAt - T0 : 0;
      waits.push(askAt - ms);
      ms = askAt;
      expect(outcome(job, { type: 'tick' }, ms - 1)).toBe('=');
      expect(outcome(job, { type: 'tick' }, ms)).toBe('+ ask:remote-1');
      job = run(job, [{ type: 'tick' }], ms);
      // It is in the queue, so its time is not up.
      job = job.state === 'dispatched' ? { ...job, startBy: T0 + 1e9 } : job;
    }
    expect(waits.slice(0, 4)).toEqual([1, 2, 4, 8].map((n) => n * policy.ask_ms));
    expect(waits.at(-1)).toBe(policy.ask_cap_ms);
  });

  it('is waited for longer while its socket is open, whose end would be told (I6)', () => {
    const far = { ...report(5, 1), bySocket: true };
    const connected = run(jobIn('running'), [far], 10_000);
    const until = 10_000 + policy.connected_ms;
    expect(outcome(connected, { type: 'tick' }, until - 1)).toBe('=');
    expect(outcome(connected, { type: 'tick' }, until)).toMatch(/^retry_wait/);
    const gone = run(connected, [EVENTS.hung_up], 20_000);
    expect(outcome(gone, { type: 'tick' }, 10_000 + policy.lease_ms)).toMatch(/^retry_wait/);
  });

  it('is asked for when a renderer whose socket is gone was silent for half of its lease', () => {
    const gone = run(jobIn('running'), [EVENTS.hung_up], 10_000);
    const silent = 2000 + policy.lease_ms / 2;
    expect(outcome(gone, EVENTS.hung_up, 11_000)).toBe('=');
    expect(outcome(gone, { type: 'tick' }, silent - 1)).toBe('=');
    expect(outcome(gone, { type: 'tick' }, silent)).toBe('+ ask:remote-1');
    const back = run(gone, [report(5, 1)], 12_000);
    expect(outcome(back, { type: 'tick' }, silent)).toBe('=');
    const other = { type: 'hung_up', by: { attempt: 1, epoch: 2 } } as const;
    expect(outcome(jobIn('running'), other)).toBe('=');
  });

  it('says why a job waits, once', () => {
    const throttled = { ...says, waiting: 'throttled' } as const;
    const job = run(jobIn('dispatched'), [throttled], 5000);
    expect(job).toMatchObject({ state: 'dispatched', waiting: 'throttled' });
    expect(outcome(job, throttled, 6000)).toBe('=');
    expect(outcome(job, { ...says, waiting: null }, 6000)).toBe('dispatched');
  });

  it('that a job is in its queue gives it more time: its turn will come', () => {
    let job: Job = jobIn('dispatched');
    for (let ms = 30_000; ms < 3 * policy.start_ms; ms += 30_000) {
      const decision = transition(job, says, at(ms));
      if (decision.kind === 'noted') job = decision.job;
      expect(outcome(job, { type: 'tick' }, ms)).toMatch(/^(=|\+ ask:remote-1)$/);
    }
    const taken = { ...says, status: 'working' } as const;
    expect(outcome(job, taken, 3 * policy.start_ms)).toBe('=');
    expect(outcome(job, { type: 'tick' }, 4 * policy.start_ms)).toMatch(/^retry_wait/);
  });

  it('that it does not know the job changes nothing: it forgets jobs', () => {
    for (const state of ['dispatched', 'running'] as const) {
      expect(outcome(jobIn(state), { ...says, status: 'unknown' })).toBe('=');
    }
  });

  it('that its job is over loses an attempt that nobody has claimed', () => {
    const over = (status: 'over' | 'timed_out') =>
      changedJob(transition(jobIn('dispatched'), { ...says, status }, at(5000)));
    expect(over('over')).toMatchObject({ lastFailure: { code: 'renderer_lost' } });
    expect(over('timed_out')).toMatchObject({ lastFailure: { code: 'start_timeout' } });
  });

  it('that its job is over loses the attempt of a renderer that is silent, and of no other', () => {
    const silent = 2000 + policy.lease_ms / 2;
    const over = (status: 'over' | 'timed_out', ms: number) =>
      transition(jobIn('running'), { ...says, status }, at(ms));
    expect(over('over', silent - 1).kind).toBe('unchanged');
    expect(over('timed_out', silent - 1).kind).toBe('unchanged');
    expect(changedJob(over('over', silent))).toMatchObject({
      lastFailure: { code: 'renderer_lost' },
    });
    expect(changedJob(over('timed_out', silent))).toMatchObject({
      lastFailure: { code: 'attempt_timeout' },
    });
    expect(over('over', silent)).toMatchObject({ effects: ['mirror', stop, 'adopt:1.1'] });
  });

  it('about another job than the present attempt’s changes nothing', () => {
    const job = jobIn('running');
    const silent = { ...says, status: 'over', remoteId: 'remote-0' } as const;
    expect(outcome(job, silent, 60_000)).toBe('=');
    expect(outcome(job, { ...EVENTS.hint, remoteId: 'remote-0' })).toBe('=');
    expect(outcome(job, { ...EVENTS.hint, attempt: 2 })).toBe('=');
    expect(outcome(job, { ...EVENTS.hint, remoteId: null })).toBe('+');
    expect(outcome(job, { ...EVENTS.hint, remoteId: null }, 60_000)).toBe('= ask:remote-1');
  });
});

describe('a process that was fenced', () => {
  it('does not get its attempt back, not by a late copy of its claim either (I3b)', () => {
    const two = run(jobIn('running'), [{ ...claim, nonce: 'process-two' }], 5000);
    expect(outcome(two, claim, 6000)).toBe('! not_owner');
    const three = run(two, [{ ...claim, nonce: 'process-three' }], 7000);
    expect(outcome(three, { ...claim, nonce: 'process-two' }, 8000)).toBe('! not_owner');
  });
});

describe('a job that waits for its retry', () => {
  it('cannot be claimed, not even by a token of the attempt to come', () => {
    expect(outcome(jobIn('retry_wait'), { ...claim, attempt: 2 })).toBe('! stale_attempt');
  });
});

describe('an outage of storage', () => {
  it('costs no attempt of the job’s own, and ends at its budget', () => {
    let job: Job = jobIn('running');
    const away = { code: 'source_fetch_failed', message: '' } as const;
    for (let n = 1; n <= policy.max_outages; n += 1) {
      const from = { attempt: n, epoch: 1 };
      job = changedJob(transition(job, { ...crash, failure: away, from }, at(n * 600_000)));
      expect(job).toMatchObject({ state: 'retry_wait', failures: 0, outages: n });
      job = run(job, [{ type: 'tick' }, { ...claim, attempt: n + 1 }], n * 600_000 + 300_000);
    }
    const from = { attempt: policy.max_outages + 1, epoch: 1 };
    const last = transition(job, { ...crash, failure: away, from }, at(13_000_000));
    expect(changedJob(last).state).toBe('adopting');
  });
});

describe('jobs made by hand', () => {
  it('take the calls of the contract in its order', () => {
    const job = run(jobByHand(), [
      report(0, 0, null),
      report(50, 0, null),
      { ...completion, from: null, verified: false },
    ]);
    expect(job).toMatchObject({ state: 'complete', progress: 100, verified: false });
  });

  it('complete once: the same again is a repeat, another output is refused (S4)', () => {
    const done = run(jobByHand(), [{ ...completion, from: null, verified: false }]);
    expect(outcome(done, { ...completion, from: null })).toBe('=');
    const other = { ...completion, from: null, output: { ...completion.output, key: 'out/evil' } };
    expect(outcome(done, other)).toBe('! job_finished');
  });
});
