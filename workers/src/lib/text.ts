// Control characters, and the marks that turn the direction of text around.
// eslint-disable-next-line no-control-regex -- removing control characters is the point
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Makes a text from outside fit to be stored and shown. */
export function cleanText(text: string): string {
  return text.toWellFormed().replace(UNPRINTABLE, ' ').trim();
}

/** A text, such as an address, without the tokens in it. */
export function withoutTokens(text: string): string {
  return text.replace(/\bej1[\w.=-]*/g, '<token>');
}

/**
 * Makes an error text of a renderer fit for viewers: no addresses, paths or tokens (an encoder's
 * messages are full of them), and at most 300 characters.
 */
export function redact(text: string): string {
  return cleanText(text)
    .replace(/\b[a-z][a-z0-9+.-]*:\/\/\S+/gi, '<url>')
    .replace(/\b(ej1|ejk_|bearer)[\w.=-]*\s*[\w.=-]*/gi, '<token>')
    .replace(/(?<![\w<])\/(?:[\w.@-]+\/)+[\w.@-]*/g, '<path>')
    .slice(0, 300);
}
