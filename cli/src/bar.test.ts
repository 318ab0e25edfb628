import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keyOf, renderBar, renderLine, type View, viewOf } from './bar.ts';
import { Display } from './display.ts';
import { pending, processing } from '../test/jobs.ts';
import { painter } from './text.ts';

const plain = painter(false, {});
const NOW = Date.UTC(2026, 10, 1);
const view: View = {
  percent: 42.9,
  stage: 'rendering',
  speed: 1.84,
  endsAt: NOW + 95_000,
  isLost: false,
};

describe('the bar', () => {
  it('shows how far, what, how long and how fast', () => {
    expect(renderBar(view, NOW, 80, plain)).toBe(
      `${'█'.repeat(12)}${'░'.repeat(18)}  42 %  rendering  1:35 left  1.8x`,
    );
  });

  it('is never as wide as the terminal, whatever must be left out', () => {
    for (let width = 1; width <= 120; width += 1) {
      for (const stage of ['rendering', 'a message of a renderer that goes on and on and on']) {
        for (const isLost of [true, false]) {
          const line = renderBar({ ...view, stage, isLost }, NOW, width, plain);
          expect(line.length).toBeLessThan(Math.max(width, 6));
        }
      }
    }
    expect(renderBar(view, NOW, 30, plain)).toBe(' 42 %  rendering  1:35 left');
    expect(renderBar(view, NOW, 20, plain)).toBe(' 42 %  rendering');
    expect(renderBar(view, NOW, 10, plain)).toBe(' 42 %');
  });

  it('counts down what is left, to nothing', () => {
    const leftAfter = (seconds: number) =>
      /\S+ left/.exec(renderBar(view, NOW + 1000 * seconds, 80, plain))?.[0];
    expect([0, 1, 35, 95, 1000].map(leftAfter)).toEqual([
      '1:35 left',
      '1:34 left',
      '1:00 left',
      '0:00 left',
      '0:00 left',
    ]);
  });

  it('is full at 100 only', () => {
    expect(renderBar({ ...view, percent: 99.9 }, NOW, 80, plain)).toContain('░  99 %');
    expect(renderBar({ ...view, percent: 100 }, NOW, 80, plain)).toContain('█ 100 %');
  });

  it('says that the connection is lost, before everything else', () => {
    const line = renderBar({ ...view, isLost: true }, NOW, 80, plain);
    expect(line).toContain('42 %  the connection is lost, trying again');
    expect(line).not.toContain('left');
  });

  it('has colours for a terminal only, and not where they are not wanted', () => {
    expect(renderBar(view, NOW, 80, painter(true, {}))).toContain('\x1b[32m');
    expect(renderBar(view, NOW, 80, painter(true, { NO_COLOR: '1' }))).not.toContain('\x1b');
    expect(renderBar(view, NOW, 80, painter(false, {}))).not.toContain('\x1b');
  });
});

describe('what there is to show of a job', () => {
  it('is its stage, or why it waits', () => {
    expect(viewOf(processing({ progress: 3, speed: 2, eta_ms: 10 }), false, NOW)).toEqual({
      percent: 3,
      stage: 'rendering',
      speed: 2,
      endsAt: NOW + 10,
      isLost: false,
    });
    expect(viewOf(pending({ wait_reason: 'no_workers' }), true, NOW)).toMatchObject({
      percent: null,
      stage: 'waiting: no workers',
      isLost: true,
    });
    expect(viewOf(processing({ attempt: 2 }), false, NOW).stage).toBe('rendering (attempt 2)');
  });

  it('cannot steer the terminal', () => {
    expect(viewOf(processing({ message: '\x1b[2Jgone\n' }), false, NOW).stage).toBe(
      '\uFFFD[2Jgone\uFFFD',
    );
  });
});

describe('progress', () => {
  beforeEach(() => void vi.useFakeTimers({ now: NOW }));
  afterEach(() => void vi.useRealTimers());

  const sink = (isTerminal: boolean) => {
    const written: string[] = [];
    return { written, isTerminal, width: 60, write: (text: string) => void written.push(text) };
  };

  it('is a line for each change and each tenth where it cannot be drawn over', () => {
    const out = sink(false);
    const display = new Display(out, plain);
    for (const percent of [0, 1, 9.9, 10, 15, 31]) display.show({ ...view, percent });
    display.show({ ...view, percent: 31, isLost: true });
    display.show({ ...view, percent: 31, isLost: true });
    display.show({ ...view, percent: 32 });
    display.show({ ...view, percent: 32, stage: 'uploading' });
    display.end();
    expect(out.written.map((line) => line.replace(/ {2}1:35.*/, ''))).toEqual([
      '0 %  rendering\n',
      '10 %  rendering\n',
      '31 %  rendering\n',
      '31 %  the connection is lost, trying again  rendering\n',
      '32 %  rendering\n',
      '32 %  uploading\n',
    ]);
  });

  it('is drawn over on a terminal, and gone at the end', () => {
    const out = sink(true);
    const display = new Display(out, plain);
    display.show(view);
    display.show(view);
    display.say('a note');
    display.show({ ...view, percent: 50 });
    display.end();
    display.end();
    const bar = (percent: number) => `\r\x1b[2K${renderBar({ ...view, percent }, NOW, 60, plain)}`;
    expect(out.written).toEqual([bar(42.9), '\r\x1b[2K', 'a note\n', bar(50), '\r\x1b[2K']);
  });

  it('is counted down each second on a terminal, until it ends', () => {
    const out = sink(true);
    const display = new Display(out, plain);
    const left = () => out.written.splice(0).map((line) => /\S+ left/.exec(line)?.[0]);
    display.show(view);
    vi.advanceTimersByTime(2000);
    expect(left()).toEqual(['1:35 left', '1:34 left', '1:33 left']);
    display.show({ ...view, endsAt: NOW + 12_000 });
    vi.advanceTimersByTime(1000);
    expect(left()).toEqual(['0:10 left', '0:09 left']);
    display.end();
    expect(vi.getTimerCount()).toBe(0);
    display.show(view);
    display.show({ ...view, endsAt: null });
    expect(vi.getTimerCount()).toBe(0);
    display.show(view);
    display.say('a note');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not count down where each line stays', () => {
    new Display(sink(false), plain).show(view);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has no percent before there is any', () => {
    expect(renderLine({ ...view, percent: null, speed: null, endsAt: null }, NOW)).toBe(
      'rendering',
    );
    expect(keyOf({ ...view, percent: null })).not.toBe(keyOf({ ...view, percent: 0 }));
  });
});
