import { describe, expect, it } from 'vitest';
import { betweenMarkers } from './markers.ts';

const PAGE = 'above\n<!-- a -->\nold\n<!-- /a -->\nbetween <!-- b --><!-- /b --> below\n';

describe('betweenMarkers', () => {
  it('replaces what is between them and nothing else', () => {
    expect(betweenMarkers(PAGE, 'a', '\n| new |\n')).toBe(
      'above\n<!-- a -->\n\n| new |\n\n<!-- /a -->\nbetween <!-- b --><!-- /b --> below\n',
    );
    expect(betweenMarkers(PAGE, 'b', '$& $1')).toContain('<!-- b -->\n\n$& $1\n\n<!-- /b -->');
  });

  it('gives the same page the second time', () => {
    const once = betweenMarkers(PAGE, 'a', 'new');
    expect(betweenMarkers(once, 'a', 'new')).toBe(once);
  });

  it.each([
    ['no marker', 'text'],
    ['no end', '<!-- a -->'],
    ['no start', '<!-- /a -->'],
    ['the end first', '<!-- /a --> <!-- a -->'],
    ['two starts', '<!-- a --> <!-- a --> <!-- /a -->'],
    ['two ends', '<!-- a --> <!-- /a --> <!-- /a -->'],
    ['another one', '<!-- /a --> <!-- a --> <!-- /a -->'],
  ])('refuses a page with %s', (_, page) => {
    expect(() => betweenMarkers(page, 'a', 'new')).toThrow('<!-- a -->');
  });
});
