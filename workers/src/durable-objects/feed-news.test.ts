import { describe, expect, it } from 'vitest';
import { FeedQueue, framesOf } from './feed-news.ts';
import type { News } from './feed-news.ts';

const report = (job_id: string, progress: number): News => ({
  message: {
    type: 'progress',
    job_id,
    seq: 1000 + progress,
    progress,
    overall_progress: progress,
    attempt: 1,
    stage: 'rendering',
    fps: null,
    speed: null,
    eta_ms: null,
    eta_p90_ms: null,
    updated_at: 1,
  },
  tags: [],
});
const gone = (job_id: string): News => ({ message: { type: 'deleted', job_id }, tags: null });

describe('news of a feed that waits', () => {
  it('has the newest report of each job, where the first one was', () => {
    const queue = new FeedQueue();
    for (const news of [report('a', 1), report('b', 1), report('a', 2), report('a', 3)])
      queue.add(news);
    expect(queue.take()).toEqual([report('a', 3), report('b', 1)]);
    expect(queue.isEmpty).toBe(true);
    queue.add(report('a', 4));
    expect(queue.take()).toEqual([report('a', 4)]);
  });

  it('has every change, and no report before it that came after it', () => {
    const queue = new FeedQueue();
    for (const news of [report('a', 1), gone('a'), report('a', 2), gone('a')]) queue.add(news);
    expect(queue.take()).toEqual([report('a', 1), gone('a'), report('a', 2), gone('a')]);
  });
});

describe('the frames of a feed', () => {
  const texts = Array.from({ length: 201 }, (_, i) => JSON.stringify({ i }));

  it('are one for each message, for who did not ask for more', () => {
    expect(framesOf(texts, false)).toEqual(texts);
  });

  it('have up to a hundred messages each, for who did', () => {
    const frames = framesOf(texts, true).map((text): unknown => JSON.parse(text));
    expect(frames).toEqual([
      { type: 'batch', messages: Array.from({ length: 100 }, (_, i) => ({ i })) },
      { type: 'batch', messages: Array.from({ length: 100 }, (_, i) => ({ i: 100 + i })) },
      { type: 'batch', messages: [{ i: 200 }] },
    ]);
    expect(framesOf(['{"i":0}'], true)).toEqual(['{"i":0}']);
    expect(framesOf([], true)).toEqual([]);
  });
});
