import type { FeedMessage } from '@export-jobs/protocol';

// Responsible for what a feed has to tell, and how it is put together: to send is what costs, not what is sent.

/** So many messages are in one frame at most. */
const MAX_TOGETHER = 100;

/** Something to be told to the viewers of jobs with these tags. */
export interface News {
  readonly message: Extract<FeedMessage, { job_id: string }>;
  /** Null where they are not known, as of a job that is no more. */
  readonly tags: readonly string[] | null;
}

/** Of which jobs somebody hears. */
interface Wanted {
  /** Null for all. */
  readonly tag: string | null;
  /** Whether the token is of that tag alone: then of nothing that may be of another. */
  readonly bound: boolean;
}

/** Whether news of jobs with these tags is for who wants that. */
export function isFor({ tag, bound }: Wanted, tags: News['tags']): boolean {
  if (tag === null) return true;
  return tags === null ? !bound : tags.includes(tag);
}

/** What waits to be told, in its order. A report takes the place of the one before it, if nothing came between. */
export class FeedQueue {
  #news: News[] = [];
  /** Where the newest of a job is, if that is a report. */
  readonly #reports = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#news.length === 0;
  }

  add(news: News): void {
    const { type, job_id } = news.message;
    const at = this.#reports.get(job_id);
    if (type === 'progress' && at !== undefined) {
      this.#news[at] = news;
      return;
    }
    if (type === 'progress') this.#reports.set(job_id, this.#news.length);
    else this.#reports.delete(job_id);
    this.#news.push(news);
  }

  /** All of it, which is no longer here then. */
  take(): News[] {
    const news = this.#news;
    this.#news = [];
    this.#reports.clear();
    return news;
  }
}

/** Messages, each as JSON, as the frames that a viewer gets: one each, or many together for who asks for that. */
export function framesOf(texts: readonly string[], isBatched: boolean): readonly string[] {
  if (!isBatched || texts.length < 2) return texts;
  const frames: string[] = [];
  for (let i = 0; i < texts.length; i += MAX_TOGETHER) {
    frames.push(`{"type":"batch","messages":[${texts.slice(i, i + MAX_TOGETHER).join(',')}]}`);
  }
  return frames;
}
