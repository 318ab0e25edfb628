import * as v from 'valibot';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { feedObjectOf } from '../lib/object.ts';
import { FeedQueue } from './feed-news.ts';
import type { News } from './feed-news.ts';

// Responsible for the further objects of a feed with many viewers, on the side of its first one: which there are, and
// that they hear what it hears. It alone is told by the jobs.

/** What one further object is told, so many ms together. */
const TOGETHER_MS = 200;

const Watched = v.object({
  tenant: v.string(),
  /** The further objects that have viewers, and until when that is known, epoch ms. */
  shards: v.array(v.object({ shard: v.number(), until: v.number() })),
});
type Watched = v.InferOutput<typeof Watched>;
const Stored = v.pipe(v.string(), v.parseJson(), Watched);

/** The only key. It is written each two minutes for each further object that has viewers. */
const KEY = 'shards';

export class FeedShards {
  readonly #ctx: DurableObjectState;
  readonly #env: Env;
  #watched: Watched | null;
  readonly #queue = new FeedQueue();

  constructor(ctx: DurableObjectState, env: Env) {
    this.#ctx = ctx;
    this.#env = env;
    // What is not readable, as after a step back to this version, they tell again.
    const stored = v.safeParse(Stored, ctx.storage.kv.get(KEY));
    this.#watched = stored.success ? stored.output : null;
  }

  /** Whose feed this is; null while nobody watches it at a further object. */
  get tenant(): string | null {
    return this.#current().length > 0 ? (this.#watched?.tenant ?? null) : null;
  }

  /** One of them has viewers until then, epoch ms. */
  join(tenant: string, shard: number, until: number): void {
    const others = this.#current().filter((one) => one.shard !== shard);
    this.#watched = { tenant, shards: [...others, { shard, until }] };
    this.#ctx.storage.kv.put(KEY, JSON.stringify(this.#watched));
  }

  /** Tells all of them, soon. */
  tell(news: News): void {
    if (this.tenant === null) return;
    if (this.#queue.isEmpty) setTimeout(() => this.#flush(), TOGETHER_MS);
    this.#queue.add(news);
  }

  #flush(): void {
    const { tenant } = this;
    const news = this.#queue.take();
    if (tenant === null) return;
    for (const { shard } of this.#current()) {
      // What is lost is told again when that object looks into D1 the next time.
      const told = feedObjectOf(this.#env, tenant, shard)?.relay(news);
      told?.catch((error: unknown) => logError('feed', { shard, error: String(error) }));
    }
  }

  #current(): Watched['shards'] {
    const now = Date.now();
    return this.#watched?.shards.filter(({ until }) => until > now) ?? [];
  }
}
