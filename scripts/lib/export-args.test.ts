import { describe, expect, it } from 'vitest';
import { parseStartArgs } from './export-args.ts';
import { UsageError } from './user-error.ts';

describe('the command line of npm start', () => {
  it('serves when there is no file', () => {
    expect(parseStartArgs([])).toEqual({ port: undefined, job: null });
    expect(parseStartArgs(['--port', '9000'])).toEqual({ port: 9000, job: null });
  });

  it('exports a file with the defaults of the protocol', () => {
    expect(parseStartArgs(['film.mov'])?.job).toEqual({
      file: 'film.mov',
      output: undefined,
      options: { container: 'mp4', fit: 'contain', quality: 60, mute: false },
    });
  });

  it('understands every option', () => {
    const flags = '--format webm --codec av1 --width 640 --height 360 --fit cover --fps 29.97';
    const more = '--quality 80 --start 1.5 --end 3 --mute -o out.webm';
    const args = ['a b.mp4', ...`${flags} ${more}`.split(' ')];
    expect(parseStartArgs(args)?.job).toEqual({
      file: 'a b.mp4',
      output: 'out.webm',
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
    });
  });

  it('asks for help with -h', () => {
    expect(parseStartArgs(['-h'])).toBeNull();
  });

  it.each([
    [['a.mp4', 'b.mp4'], 'one file at a time'],
    [['a.mp4', '--width', '33'], '--width must be even'],
    [['a.mp4', '--width', '1e3'], '--width takes a number'],
    [['a.mp4', '--quality', '101'], '--quality'],
    [['a.mp4', '--format', 'avi'], '--format'],
    [['a.mp4', '--codec', 'vp9'], '--codec is not carried by this container'],
    [['a.mp4', '--end', '0'], '--end must end after it starts'],
    [['a.mp4', '--speed', '2'], '--speed'],
    [['a.mp4', '--width'], '--width'],
    [['--format', 'webm'], '--format needs a file'],
    [['-o', 'x.mp4'], '--output needs a file'],
    [['--port', '0'], '--port'],
    [['--port', '99999'], '--port'],
  ])('refuses %j', (args, word) => {
    expect(() => parseStartArgs(args)).toThrow(UsageError);
    expect(() => parseStartArgs(args)).toThrow(word);
  });
});
