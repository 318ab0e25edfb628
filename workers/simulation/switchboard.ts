import * as v from 'valibot';
import type { Call } from '../src/lib/calls.ts';
import type { Answer } from '../src/lib/types.ts';
import type { Said } from './actors/intruder.ts';
import { ELSEWHERE } from './actors/renderer.ts';
import type { Renderer } from './actors/renderer.ts';
import { exchange } from './network.ts';
import { answerIn } from './notice.ts';
import type { ObjectHost } from './platform/object.ts';
import { pretend } from './platform/pretend.ts';
import type { R2, Stored } from './platform/r2.ts';
import type { Socket } from './platform/sockets.ts';
import type { OwnerId, Stage } from './stage.ts';
import { Unreachable } from './stage.ts';
import { keyOf, ownerOf } from './witness.ts';
import type { Witness } from './witness.ts';
import type { Job } from '../src/job/job.ts';

// Responsible for everything that renderers say to the object and hear from it, whichever way it goes,
// and for telling the witness of it.

/** Frames of renderers, which are right unless the simulation itself is wrong. */
const Frame = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({ type: v.picklist(['progress', 'complete', 'error']), seq: v.number() }),
);
const Notice = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({ type: v.string(), seq: v.optional(v.number()) }),
);

/** The world around it. */
/** The upgrade of a renderer that offers no subprotocol. */
const UPGRADE = { headers: { get: () => null } };

export interface Surroundings extends Stage {
  readonly job: Job | null;
  readonly host: ObjectHost;
  readonly r2: R2;
  readonly witness: Witness;
}

/** A renderer's socket at the object: whose it is, and what it answered last to which call. */
interface Line {
  readonly owner: OwnerId;
  readonly answers: Map<number, Answer>;
}

export class Switchboard {
  /** Every call that a renderer ever made. */
  readonly said: Said[] = [];
  readonly #world: Surroundings;
  readonly #lines = new Map<Socket, Line>();

  constructor(world: Surroundings) {
    this.#world = world;
  }

  /** Delivers a call of a renderer over the network. */
  say(attempt: number, call: Call, { isDeaf, nonce }: Renderer): Promise<Answer> {
    const said = { attempt, call, bySocket: false };
    this.said.push(said);
    return exchange(this.#world, {
      isDeaf,
      call: async () => {
        const answer = await this.hear(said);
        this.#note(nonce, said, answer);
        return answer;
      },
      onRepeat: (first, second) => {
        // I15: the same answer to the same call, unless time has ended the attempt between the two.
        const isLost = call.name === 'progress' && this.#world.job?.state !== 'running';
        if (first.ok && !second.ok && !isLost) {
          this.#world.violated('I15', `${call.name} is taken, and its repeat is ${second.code}`);
        }
      },
    });
  }

  /** Lets the object hear a call, whoever it comes from. */
  hear(said: Said): Promise<Answer> {
    const { attempt, call } = said;
    const from = { attempt };
    return this.#heard(said, () =>
      this.#world.host.invoke({ kind: 'call', call, from }, (object) => object.call(call, from)),
    );
  }

  /** Opens a renderer's socket. @throws Unreachable when that comes to nothing. */
  async dial(owner: OwnerId, { isDeaf }: Renderer): Promise<Socket> {
    const { faults, host } = this.#world;
    if (faults.strikes('socket refused', 0.2)) throw new Unreachable();
    const made: Socket[] = [];
    const call = async () => {
      const answer = await host.invoke({ kind: 'look' }, (object) =>
        object.connectRenderer(pretend(UPGRADE), owner.attempt, owner.epoch),
      );
      if (!('webSocket' in answer)) return null;
      const { webSocket: client } = pretend<{ webSocket: Socket }>(answer);
      made.push(client);
      this.#open(client, owner);
      return client;
    };
    const socket = await exchange(this.#world, { call, isDeaf }).catch(() => null);
    if (socket) return socket;
    // What nobody has heard of hangs for a while.
    for (const { wire } of made)
      this.#later(() => wire.break(this.#world.clock, this.#world.random));
    throw new Unreachable();
  }

  /** A text has come in at the object's end of a socket. */
  onText(socket: Socket, text: string): void {
    const line = this.#lines.get(socket);
    if (!line) return;
    const { type, ...body } = v.parse(Frame, text);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made by `actors/link.ts` out of a call
    const call = { name: type, body: body as object } as Call;
    const said = { attempt: line.owner.attempt, call, bySocket: true };
    this.said.push(said);
    const from = { attempt: said.attempt, bySocket: true } as const;
    const ask = async (): Promise<Answer> => {
      await this.#world.host.invoke({ kind: 'call', call, from }, (object) =>
        object.webSocketMessage(pretend(socket), text),
      );
      return line.answers.get(body.seq) ?? { ok: false, code: 'internal_error' };
    };
    this.#heard(said, ask).then(
      (answer) => this.#note('socket', said, answer),
      (error: unknown) => {
        if (!(error instanceof Unreachable)) throw error;
      },
    );
  }

  /** The object has heard that a socket is gone; another one of the same owner may be open. */
  onClosed(socket: Socket): void {
    const owner = this.#lines.get(socket)?.owner;
    if (!owner) return;
    this.#lines.delete(socket);
    if (!this.isConnected(owner)) this.#world.witness.hungUp(owner);
  }

  /** Whether the object has an open socket of this owner. */
  isConnected(owner: OwnerId | null): boolean {
    const sockets = this.#world.host.socketsOf('renderer');
    return sockets.some((socket) => {
      const line = this.#lines.get(socket);
      return owner && line && socket.isOpen && isSame(line.owner, owner);
    });
  }

  /** I3: no socket is left open to a renderer whose attempt is another's, unless it ended that itself. */
  settled(): void {
    const { job, host } = this.#world;
    const concluded = job?.state === 'complete' ? job.by : job?.closed;
    const entitled = [ownerOf(job), concluded];
    for (const socket of host.socketsOf('renderer')) {
      const owner = this.#lines.get(socket)?.owner;
      if (!owner || !socket.isOpen || entitled.some((one) => one && isSame(one, owner))) continue;
      this.#world.violated('I3 fence', `${keyOf(owner)} is still connected`);
    }
  }

  /** Stores an output as `routes/renderer-files.ts` does: first the fence, then the bucket. */
  async put({ attempt, epoch }: OwnerId, stored: Stored): Promise<Answer> {
    const ms = this.#world.random.skewed(50, 60_000);
    const call = async (): Promise<Answer> => {
      const files = await this.#world.host.invoke({ kind: 'look' }, (object) =>
        object.files({ attempt }, epoch),
      );
      if (!files.ok) return files;
      try {
        const isNew = await this.#world.r2.upload(stored, ms);
        return isNew ? { ok: true, body: {} } : { ok: false, code: 'output_exists' };
      } catch {
        return { ok: false, code: 'storage_unavailable' };
      }
    };
    return await exchange(this.#world, { call });
  }

  /** Whether a call comes from the present owner of the running attempt. */
  isOwner(attempt: number, call: Call): boolean {
    const { job } = this.#world;
    if (job?.state !== 'running' || !('epoch' in call.body)) return false;
    return attempt === job.attempt && call.body.epoch === job.owner?.epoch;
  }

  /** Has the witness note what reached the object and what was taken. */
  async #heard(said: Said, ask: () => Promise<Answer>): Promise<Answer> {
    const { clock, witness } = this.#world;
    const { attempt, call } = said;
    const isOwner = this.isOwner(attempt, call);
    const at = clock.now;
    if (isOwner) witness.arrived(said, at);
    const answer = await ask();
    // A last word that is not taken yet was heard all the same.
    const isHeard = !answer.ok && HEARD.has(answer.code) && isOfItsOwn(call);
    if (isOwner && (answer.ok || isHeard)) witness.taken(said, at);
    if (answer.ok && call.name === 'complete') this.#judgeAcknowledged(call.body.output_video_key);
    return answer;
  }

  /** I7: a file that was acknowledged is the one that the job ended with. */
  #judgeAcknowledged(key: string): void {
    const { job } = this.#world;
    if (job?.state !== 'complete' || job.output.key !== key) {
      this.#world.violated('I7', `${key} is acknowledged, and the job is ${job?.state}`);
    }
  }

  #open(client: Socket, owner: OwnerId): void {
    const { clock, random, faults } = this.#world;
    const [, server] = client.wire.ends;
    const answers = new Map<number, Answer>();
    this.#lines.set(server, { owner, answers });
    server.onSend = (text) => {
      const { type, seq, ...more } = v.parse(Notice, text);
      if (seq !== undefined) answers.set(seq, answerIn(type, more));
    };
    const isLate = faults.strikes('socket late', 0.3);
    client.wire.lengthen(clock, () =>
      isLate && !faults.over ? random.skewed(10, 30_000) : random.int(2, 40),
    );
    if (faults.strikes('socket cut', 0.5)) this.#later(() => client.wire.break(clock, random));
    if (faults.strikes('socket half-open', 0.4)) {
      this.#later(() => {
        client.wire.isDeaf = true;
        clock.after(random.skewed(1000, 300_000), () => client.wire.break(clock, random));
      });
    }
  }

  /** Something happens to a socket at some time. */
  #later(what: () => void): void {
    const { clock, random } = this.#world;
    clock.after(random.skewed(200, 600_000), what);
  }

  #note(who: string, { attempt, call }: Said, answer: Answer): void {
    this.#world.note(who, call.name, `attempt ${attempt}`, answer.ok ? 'ok' : answer.code);
  }
}

/** Whether a last word names the file of its attempt. One that names another is refused unheard. */
function isOfItsOwn(call: Call): boolean {
  return call.name === 'complete' && !call.body.output_video_key.includes(ELSEWHERE);
}

/** Refusals of a last word that came after a look at its file. */
const HEARD: ReadonlySet<string> = new Set(['storage_unavailable', 'output_rejected']);

function isSame(a: OwnerId, b: OwnerId): boolean {
  return a.attempt === b.attempt && a.epoch === b.epoch;
}
