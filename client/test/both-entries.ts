// What a page gets that watches single exports and all of them.
export * from '../src/index.ts';
export * from '../src/feed.ts';
