import { describe, expect, it } from 'vitest';
import { ProgressLines } from './progress-lines.ts';

const read = (text: string) => {
  const lines = new ProgressLines();
  return text.split('\n').map((line) => lines.add(line));
};

describe('ffmpeg’s progress', () => {
  it('is read block by block', () => {
    const text = 'frame=48\nfps=24.5\ntotal_size=1000\nspeed=1.25x\nprogress=continue';
    expect(read(text).filter(Boolean)).toEqual([
      { frame: 48, fps: 24.5, size: 1000, speed: 1.25, ended: false },
    ]);
  });

  it('knows the ways in which ffmpeg says that it does not know', () => {
    const text = 'frame=0\nfps=0.00\ntotal_size=N/A\nout_time_us=N/A\nspeed=   0x\nprogress=end';
    expect(read(text).filter(Boolean)).toEqual([{ frame: 0, ended: true }]);
  });

  it('carries nothing from one block to the next, and ignores noise', () => {
    const text = 'fps=30\nprogress=continue\n\nnoise\nframe=2\nprogress=continue';
    expect(read(text).filter(Boolean).at(-1)).toEqual({ frame: 2, ended: false });
  });
});
