import { expect, it } from 'vitest';
import { inputUrl } from './input-url.ts';

const settings = { PUBLIC_URL: 'https://export.films.org', SOURCE_HOSTS: ['localhost:8443'] };

it('an address is kept in the one spelling that everybody reads alike', () => {
  const spelled = ' HTTPS://Media.Films.ORG:443/a b/../film.mp4?x=%2f\n';
  expect(inputUrl(spelled, settings)).toBe('https://media.films.org/film.mp4?x=%2f');
  expect(inputUrl('https://localhost:8443/film.mp4', settings)).toBe(
    'https://localhost:8443/film.mp4',
  );
});

it.each(['https://export.films.org/api/jobs', 'https://EXPORT.films.org./x'])(
  'this server itself, as %s, is no place for inputs',
  (url) => {
    const extra = { detail: '/input/url: must not name this server' };
    const refusal: unknown = expect.objectContaining({ code: 'input_url_refused', extra });
    expect(() => inputUrl(url, settings)).toThrow(refusal);
  },
);
