import { problem } from '@export-jobs/protocol';
import type { FailureCode, OutputManifest, RenderTicket } from '@export-jobs/protocol';
import type { Call } from '../../src/lib/calls.ts';
import type { Answer } from '../../src/lib/types.ts';
import type { Stored } from '../platform/r2.ts';
import type { Socket } from '../platform/sockets.ts';
import { HARDWARE } from '../environment.ts';
import { Unreachable } from '../stage.ts';
import type { OwnerId, Stage } from '../stage.ts';
import { Link } from './link.ts';

// A renderer as `renderer/src/job.ts` and `callbacks.ts` make it: one nonce per delivery, a claim that
// is tried for a minute, reports that wait for nobody, a last word that is repeated until it is
// answered or the lease is gone, and silence after a refusal with `stop`. About half of them have a
// socket; a call that was not answered there goes by POST the next time.

const CLAIM_PATIENCE_MS = 60_000;
const BACKOFF = { base: 500, cap: 8000 };

/** What a renderer needs of its world. */
export interface Surroundings extends Stage {
  readonly switchboard: {
    say(attempt: number, call: Call, renderer: Renderer): Promise<Answer>;
    put(owner: OwnerId, stored: Stored): Promise<Answer>;
    dial(owner: OwnerId, renderer: Renderer): Promise<Socket>;
  };
  onStop(renderer: Renderer): void;
}

/** The work is no longer this renderer's. */
class Stopped extends Error {}
/** The renderer must tell that its attempt failed. */
class Failed extends Error {
  readonly code: FailureCode;
  constructor(code: FailureCode) {
    super(code);
    this.code = code;
  }
}

export class Renderer {
  readonly remoteId: string;
  readonly attempt: number;
  readonly nonce: string;
  epoch = 0;
  isOver = false;
  isDeaf = false;
  /** How long it stood still in all, ms. */
  pausedMs = 0;
  readonly #world: Surroundings;
  #pause: Promise<void> | null = null;
  #isWorking = true;
  #seq = 0;
  #key = '';
  #percent = 0;
  #stage: 'downloading' | 'rendering' | 'uploading' = 'downloading';
  #leaseMs = 0;
  #reportMs = 0;
  #leaseUntil = Number.POSITIVE_INFINITY;
  #link: Link | null = null;
  #hasFailedOnSocket = false;

  constructor(world: Surroundings, remoteId: string, ticket: RenderTicket, serial: number) {
    this.#world = world;
    this.remoteId = remoteId;
    this.attempt = ticket.attempt;
    this.nonce = `process-${serial}`;
    this.#drawFate();
    void this.#run();
  }

  /** Ends the process as the provider or a bad fate does: without a word. */
  stop(): void {
    this.#end(false);
  }

  /** @param isSudden with its whole machine, so that its connections do not even close. */
  #end(isSudden: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#isWorking = false;
    this.#link?.close(isSudden);
    this.#world.onStop(this);
  }

  #drawFate(): void {
    const { clock, random, faults } = this.#world;
    const later = () => random.skewed(1000, 900_000);
    const isSudden = random.chance(0.5);
    if (faults.strikes('renderer dies', 0.3)) clock.after(later(), () => this.#end(isSudden));
    if (faults.strikes('renderer pauses', 0.4)) clock.after(later(), () => this.#standStill());
    if (faults.strikes('renderer deaf', 0.2)) clock.after(later(), () => (this.isDeaf = true));
  }

  #standStill(): void {
    const ms = this.#world.random.skewed(5000, 1_800_000);
    this.pausedMs += ms;
    this.#pause = this.#world.clock.sleep(ms).then(() => {
      this.#pause = null;
    });
  }

  async #run(): Promise<void> {
    try {
      await this.#claim();
      if (this.#world.random.chance(0.5)) this.#link = this.#openLink();
      void this.#keepReporting();
      const manifest = await this.#work();
      // Told to end in the moment between its upload and its last word.
      if (this.#world.faults.strikes('renderer fails', 0.1)) throw new Failed('renderer_shutdown');
      this.#isWorking = false;
      await this.#conclude({ output_video_key: this.#key, manifest });
    } catch (error) {
      if (error instanceof Failed) await this.#tell(error.code);
      else if (!(error instanceof Stopped || error instanceof Unreachable)) throw error;
    } finally {
      this.stop();
    }
  }

  async #claim(): Promise<void> {
    const giveUpAt = this.#world.clock.now + CLAIM_PATIENCE_MS;
    const { nonce, remoteId } = this;
    const body = { nonce, provider_job_id: remoteId, worker_id: 'gpu', hardware: HARDWARE };
    const sentAt = this.#world.clock.now;
    const claimed = await this.#insist({ name: 'claim', body }, () => giveUpAt);
    this.epoch = Number(Reflect.get(claimed, 'epoch'));
    this.#key = String(Reflect.get(Object(Reflect.get(claimed, 'output')), 'key'));
    this.#hear(claimed, sentAt);
  }

  #openLink(): Link {
    const isOver = () => this.isOver;
    const isDeaf = () => this.isDeaf;
    const pause = () => this.#pause;
    return new Link({
      clock: this.#world.clock,
      get isOver() {
        return isOver();
      },
      get isDeaf() {
        return isDeaf();
      },
      get pause() {
        return pause();
      },
      dial: () => this.#world.switchboard.dial(this.#owner, this),
      onPace: (pace) => this.#takePace(pace),
      onStop: () => this.stop(),
    });
  }

  get #owner(): OwnerId {
    return { attempt: this.attempt, epoch: this.epoch };
  }

  async #work(): Promise<OutputManifest> {
    const { random, faults } = this.#world;
    const total = random.skewed(2000, 1_500_000);
    const failsAt = faults.strikes('renderer fails', 0.3) ? random.next() : 2;
    const stallsAt = faults.strikes('renderer stalls', 0.1) ? random.next() : 2;
    const steps = 8;
    for (let step = 1; step <= steps; step += 1) {
      await this.#sleep(total / steps);
      if (step / steps > failsAt) throw new Failed(random.pick(CODES));
      if (step / steps > stallsAt) return await this.#standStillForEver();
      this.#stage = step === 1 ? 'downloading' : 'rendering';
      this.#percent = (step / steps) * 95;
    }
    this.#stage = 'uploading';
    return await this.#upload(random.int(1000, 1e9));
  }

  /** An encoder that hangs under a supervisor that does not notice: only the server can end this. */
  async #standStillForEver(): Promise<never> {
    for (;;) await this.#sleep(60_000);
  }

  async #upload(size: number): Promise<OutputManifest> {
    const { random, faults } = this.#world;
    const sha256 = `${size}`.padStart(64, '0');
    const manifest = { size, sha256, width: 2, height: 2, duration_ms: 1000, frames: 24 };
    const broken = faults.strikes('output broken', 0.3) ? random.pick(BROKEN) : null;
    if (broken === 'missing') return manifest;
    const stored = { key: this.#key, size: broken === 'cut' ? size - 1 : size, sha256, manifest };
    if (broken === 'elsewhere') this.#key = this.#key.replace('/video', ELSEWHERE);
    for (let failures = 0; failures < 6; failures += 1) {
      const answer = await this.#ask(() => this.#world.switchboard.put(this.#owner, stored));
      if (answer?.ok || (answer && answer.code === 'output_exists')) return manifest;
      if (answer && problem(answer.code).stop) throw new Stopped();
      await this.#sleep(backoff(failures));
    }
    throw new Failed('upload_failed');
  }

  async #conclude(body: { output_video_key: string; manifest: OutputManifest }): Promise<void> {
    const call = { name: 'complete', body: { ...this.#fence(), ...body } } as const;
    await this.#insist(call, () => this.#leaseUntil);
  }

  async #tell(code: FailureCode): Promise<void> {
    this.#isWorking = false;
    const body = { ...this.#fence(), error: 'it went wrong', code };
    try {
      await this.#insist({ name: 'error', body }, () => this.#leaseUntil);
    } catch (error) {
      if (!(error instanceof Stopped || error instanceof Unreachable)) throw error;
    }
  }

  async #keepReporting(): Promise<void> {
    try {
      for (let failures = 0; this.#isWorking && !this.isOver;) {
        const isHeard = await this.#report();
        failures = isHeard ? 0 : failures + 1;
        const wait = isHeard ? this.#reportMs : backoff(failures - 1);
        await this.#sleep(Math.min(wait, this.#leaseMs / 3));
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  /** Sends one report; whether it was acknowledged. */
  async #report(): Promise<boolean> {
    const sentAt = this.#world.clock.now;
    const hints = { progress: this.#percent, stage: this.#stage };
    const body = { ...this.#fence(), ...hints };
    const answer = await this.#ask(() => this.#say({ name: 'progress', body }));
    if (!answer) return false;
    if (answer.ok) this.#hear(answer.body, sentAt);
    else if (problem(answer.code).stop) this.stop();
    return answer.ok;
  }

  /** Repeats a call until it is answered for good or time is up. */
  async #insist(call: Call, until: () => number): Promise<object> {
    for (let failures = 0; ; failures += 1) {
      const answer = await this.#ask(() => this.#say(call));
      if (answer?.ok) return answer.body;
      if (answer && problem(answer.code).stop) throw new Stopped();
      if (answer?.code === 'output_rejected') throw new Failed('output_rejected');
      if (this.#world.clock.now >= until()) throw new Unreachable();
      await this.#sleep(backoff(failures));
    }
  }

  /** By the socket where there is one, unless the last call failed there. */
  async #say(call: Call): Promise<Answer> {
    const link = this.#hasFailedOnSocket ? null : this.#link;
    this.#hasFailedOnSocket = false;
    if (!link?.isOpen || call.name === 'claim' || call.name === 'init') {
      return await this.#world.switchboard.say(this.attempt, call, this);
    }
    try {
      return await link.call(call.body.seq ?? 0, call);
    } catch (error) {
      this.#hasFailedOnSocket = true;
      throw error;
    }
  }

  /** Who speaks, and which call this is. */
  #fence(): { epoch: number; seq: number } {
    this.#seq += 1;
    return { epoch: this.epoch, seq: this.#seq };
  }

  /** An answer, or null when none came. */
  async #ask(request: () => Promise<Answer>): Promise<Answer | null> {
    try {
      const answer = await request();
      await this.#awake();
      return answer;
    } catch (error) {
      await this.#awake();
      if (error instanceof Unreachable) return null;
      throw error;
    }
  }

  #hear(reply: object, sentAt: number): void {
    this.#takePace(reply);
    this.#leaseUntil = sentAt + this.#leaseMs;
  }

  #takePace(pace: object): void {
    this.#leaseMs = Number(Reflect.get(pace, 'lease_ms'));
    this.#reportMs = Number(Reflect.get(pace, 'next_report_ms'));
  }

  async #sleep(ms: number): Promise<void> {
    await this.#world.clock.sleep(Math.max(50, ms));
    const wasPaused = this.#pause !== null;
    await this.#awake();
    // After a pause a call may go out before the timer of the lease is looked at.
    if (wasPaused && this.#world.random.chance(0.5)) return;
    if (this.#world.clock.now >= this.#leaseUntil) this.stop();
    if (this.isOver) throw new Stopped();
  }

  async #awake(): Promise<void> {
    while (this.#pause) await this.#pause;
    if (this.isOver) throw new Stopped();
  }
}

const CODES = [
  'encoder_failed',
  'encoder_failed',
  'out_of_memory',
  'source_fetch_failed',
  'renderer_shutdown',
  'input_damaged',
] as const satisfies readonly FailureCode[];

/** In the name of a file that is not its attempt's. */
export const ELSEWHERE = '/other';
/** What may be wrong with an output: not stored, not whole, or reported under another key. */
const BROKEN = ['missing', 'cut', 'elsewhere'] as const;

function backoff(failures: number): number {
  return Math.min(BACKOFF.cap, BACKOFF.base * 2 ** failures);
}
