import { describe, expect, it } from 'vitest';
import { isAmong, mediaTypeOf } from './media-type.ts';

describe('the type of a file', () => {
  it.each([
    ['film.mp4', undefined, 'video/mp4'],
    ['FILM.MOV', undefined, 'video/quicktime'],
    ['film.mp4', 'Video/X-Own; codecs="a"', 'video/x-own'],
    ['film.mp4', ' ', 'video/mp4'],
    ['page.html', undefined, 'text/html'],
    ['film.unheard-of', undefined, 'application/octet-stream'],
    ['film', undefined, 'application/octet-stream'],
  ])('of %s announced as %s is %s', (filename, announced, type) => {
    expect(mediaTypeOf(filename, announced)).toBe(type);
  });

  it('is among ranges that name it or its kind, and no other', () => {
    expect(isAmong('video/mp4', ['audio/*', 'video/*'])).toBe(true);
    expect(isAmong('image/gif', ['image/gif'])).toBe(true);
    expect(isAmong('image/png', ['image/gif', 'video/*'])).toBe(false);
    expect(isAmong('videos/mp4', ['video/*'])).toBe(false);
    expect(isAmong('video/mp4', [])).toBe(false);
    for (const none of ['video', 'video/', 'video/*', 'video/mp4/x', 'video/a b']) {
      expect(isAmong(none, ['video/*'])).toBe(false);
    }
  });
});
