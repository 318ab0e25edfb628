// Responsible for the parts of a page that a command writes, between `<!-- name -->` and `<!-- /name -->`.

/**
 * Puts a text between the markers of a name and leaves everything else as it is.
 * @throws when the page does not have each marker once, in their order: nothing is guessed.
 */
export function betweenMarkers(page: string, name: string, text: string): string {
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [before, rest, ...more] = page.split(start);
  const [, after, ...others] = (rest ?? '').split(end);
  const isClear = before !== undefined && !before.includes(end) && after !== undefined;
  if (!isClear || more.length + others.length > 0) {
    throw new Error(`the page needs ${start} and, after it, ${end}, once each`);
  }
  return `${before}${start}\n\n${text.trim()}\n\n${end}${after}`;
}
