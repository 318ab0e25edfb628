import { describe, expect, it } from 'vitest';
import { DEFAULT_URL, globalsOf, splitCommand } from './args.ts';
import { COMMANDS } from './commands.ts';
import { planOf, readCreate } from './commands/create.ts';
import { UsageError } from './exit.ts';

const create = (...args: string[]) => planOf(readCreate(args));

describe('the command and its server', () => {
  it.each([
    [['list', '--all'], 'list', ['--all']],
    [['--json', '--url', 'http://x', 'get', 'a'], 'get', ['--json', '--url', 'http://x', 'a']],
    [['--quiet'], null, ['--quiet']],
    [[], null, []],
  ])('%j is the command %s', (args, name, rest) => {
    expect(splitCommand(args)).toEqual({ name, rest });
  });

  it('takes the server from the line, else from the environment, else from this machine', () => {
    const env = { EXPORT_JOBS_URL: 'https://a.example/', EXPORT_JOBS_TOKEN: 'from-env\n' };
    expect(globalsOf({}, {}).server).toEqual({ url: DEFAULT_URL, token: null });
    expect(globalsOf({}, env).server).toEqual({ url: 'https://a.example', token: 'from-env' });
    expect(globalsOf({ url: 'http://b:1/under/', token: 't' }, env)).toMatchObject({
      server: { url: 'http://b:1/under', token: 't' },
      isUrlTyped: true,
    });
    expect(globalsOf({}, { EXPORT_JOBS_URL: '', EXPORT_JOBS_TOKEN: '' }).server.token).toBeNull();
  });

  it.each(['localhost:8787', 'ftp://x', 'nonsense', 'http://user:secret@x'])(
    'refuses the address %s without repeating a password',
    (url) => {
      expect(() => globalsOf({ url }, {})).toThrow(UsageError);
      expect(() => globalsOf({ url }, {})).not.toThrow('secret');
    },
  );

  it('refuses a token that no header can carry, without repeating it', () => {
    expect(() => globalsOf({ token: 'se cret' }, {})).toThrow(UsageError);
    expect(() => globalsOf({ token: 'se cret' }, {})).not.toThrow('cret');
  });
});

describe('create', () => {
  it('asks for nothing that was not typed', () => {
    expect(create('film.mov')).toEqual({
      source: 'film.mov',
      options: {},
      how: {},
      idempotencyKey: undefined,
      watching: null,
    });
  });

  it('understands every option', () => {
    const flags = '--format webm --codec av1 --width 640 --height 360 --fit cover --fps 29.97';
    const more = '--quality 80 --start 1.5 --end 3 --mute --tag a --tag b:1 --max-dollars 0.25';
    const rest = '--idempotency-key k --watch -o out.webm --force --patience 9';
    expect(create('a b.mp4', ...`${flags} ${more} ${rest}`.split(' '))).toEqual({
      source: 'a b.mp4',
      options: {
        container: 'webm',
        codec: 'av1',
        width: 640,
        height: 360,
        fit: 'cover',
        fps: 29.97,
        quality: 80,
        trim: { start: 1.5, end: 3 },
        mute: true,
      },
      how: { tags: ['a', 'b:1'], maxDollars: 0.25 },
      idempotencyKey: 'k',
      watching: { output: 'out.webm', force: true, patienceMs: 9000 },
    });
  });

  it('watches when a file is to be made', () => {
    expect(create('a.mp4', '-o', 'x.mp4').watching).toMatchObject({ output: 'x.mp4' });
    expect(create('a.mp4', '--watch').watching).toMatchObject({ output: undefined });
  });
});

describe('a wrong line', () => {
  it.each([
    ['create', [], 'the file is missing'],
    ['create', ['a.mp4', 'b.mp4'], 'one at a time'],
    ['create', ['a.mp4', '--format', 'avi'], '--format must be mp4 or webm or mov or gif'],
    ['create', ['a.mp4', '--width', '1e3'], '--width takes a number'],
    ['create', ['a.mp4', '--max-dollars', 'much'], '--max-dollars takes a number'],
    ['create', ['a.mp4', '--patience', '-1'], '--patience'],
    ['create', ['a.mp4', '-o', ''], '--output'],
    ['create', ['a.mp4', '--speed', '2'], "Unknown option '--speed'"],
    ['watch', [], 'the id is missing'],
    ['get', ['a', 'b'], 'one at a time'],
    ['cancel', ['a', '--watch'], '--watch'],
    ['retry', [''], 'the id is missing'],
    ['list', ['word'], '"word" means nothing here'],
    ['list', ['--status', 'done'], '--status must be'],
    ['list', ['--status', 'error', '--tag', 'a'], '--status or --tag'],
    ['list', ['--all', '--limit', '3'], '--limit or --all'],
    ['list', ['--limit', '0'], '--limit'],
    ['list', ['--limit', '1.5'], '--limit'],
    ['download', ['a', '--output', ''], '--output'],
    ['doctor', ['a'], 'means nothing here'],
  ])('%s %j is refused with a word about it', (name, args, word) => {
    const parse = () => COMMANDS.get(name)?.parse(args, {});
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(word);
  });
});
