import { describe, expect, it } from 'vitest';
import { keyOf, renderBar, renderLine, type View, viewOf } from './bar.ts';
import { Display } from './display.ts';
import { pending, processing } from '../test/jobs.ts';
import { painter } from './text.ts';

const plain = painter(false, {});
const view: View = {
  percent: 42.9,
  stage: 'rendering',
  speed: 1.84,
  leftMs: 95_000,
  isLost: false,
};

describe('the bar', () => {
  it('shows how far, what, how long and how fast', () => {
    expect(renderBar(view, 80, plain)).toBe(
      `${'█'.repeat(12)}${'░'.repeat(18)}  42 %  rendering  1:35 left  1.8x`,
    );
  });

  it('is never as wide as the terminal, whatever must be left out', () => {
    for (let width = 1; width <= 120; width += 1) {
      for (const stage of ['rendering', 'a message of a renderer that goes on and on and on']) {
        for (const isLost of [true, false]) {
          const line = renderBar({ ...view, stage, isLost }, width, plain);
          expect(line.length).toBeLessThan(Math.max(width, 6));
        }
      }
    }
    expect(renderBar(view, 30, plain)).toBe(' 42 %  rendering  1:35 left');
    expect(renderBar(view, 20, plain)).toBe(' 42 %  rendering');
    expect(renderBar(view, 10, plain)).toBe(' 42 %');
  });

  it('is full at 100 only', () => {
    expect(renderBar({ ...view, percent: 99.9 }, 80, plain)).toContain('░  99 %');
    expect(renderBar({ ...view, percent: 100 }, 80, plain)).toContain('█ 100 %');
  });

  it('says that the connection is lost, before everything else', () => {
    const line = renderBar({ ...view, isLost: true }, 80, plain);
    expect(line).toContain('42 %  the connection is lost, trying again');
    expect(line).not.toContain('left');
  });

  it('has colours for a terminal only, and not where they are not wanted', () => {
    expect(renderBar(view, 80, painter(true, {}))).toContain('\x1b[32m');
    expect(renderBar(view, 80, painter(true, { NO_COLOR: '1' }))).not.toContain('\x1b');
    expect(renderBar(view, 80, painter(false, {}))).not.toContain('\x1b');
  });
});

describe('what there is to show of a job', () => {
  it('is its stage, or why it waits', () => {
    expect(viewOf(processing({ progress: 3, speed: 2, eta_ms: 10 }), false)).toEqual({
      percent: 3,
      stage: 'rendering',
      speed: 2,
      leftMs: 10,
      isLost: false,
    });
    expect(viewOf(pending({ wait_reason: 'no_workers' }), true)).toMatchObject({
      percent: null,
      stage: 'waiting: no workers',
      isLost: true,
    });
    expect(viewOf(processing({ attempt: 2 }), false).stage).toBe('rendering (attempt 2)');
  });

  it('cannot steer the terminal', () => {
    expect(viewOf(processing({ message: '\x1b[2Jgone\n' }), false).stage).toBe(
      '\uFFFD[2Jgone\uFFFD',
    );
  });
});

describe('progress', () => {
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
    const bar = (percent: number) => `\r\x1b[2K${renderBar({ ...view, percent }, 60, plain)}`;
    expect(out.written).toEqual([bar(42.9), '\r\x1b[2K', 'a note\n', bar(50), '\r\x1b[2K']);
  });

  it('has no percent before there is any', () => {
    expect(renderLine({ ...view, percent: null, speed: null, leftMs: null })).toBe('rendering');
    expect(keyOf({ ...view, percent: null })).not.toBe(keyOf({ ...view, percent: 0 }));
  });
});
