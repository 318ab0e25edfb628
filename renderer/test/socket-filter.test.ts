import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runTool } from '../src/ffmpeg/process.ts';
import { socketFilter } from '../src/ffmpeg/socket-filter.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'filter-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe.skipIf(!(await canLoadFilter()))(
  'the filter of sockets (skipped where perl, which loads it, cannot)',
  () => {
    it.each([
      ['over IPv4', '2, 1, 0', 'EAFNOSUPPORT'],
      ['over IPv6', '10, 2, 0', 'EAFNOSUPPORT'],
      ['to the kernel', '16, 3, 0', 'EAFNOSUPPORT'],
      ['of files', '1, 1, 0', 'opened'],
    ])('is obeyed by this kernel: a socket %s', async (_, socket, outcome) => {
      expect(await underFilter(`41, ${socket}`)).toEqual([outcome]);
    });

    it('lets no queue of calls by that would open them unseen', async () => {
      expect(await underFilter('425, 1, 0')).toEqual(['ENOSYS']);
    });
  },
);

/** What comes of a call, by its number and arguments, of a program that has loaded the filter. */
async function underFilter(call: string): Promise<string[]> {
  const file = join(folder, 'filter');
  await writeFile(file, socketFilter(process.arch) ?? '');
  const script = `open(my $f, '<', $ARGV[0]); binmode $f; local $/; my $code = <$f>;
    my $program = pack('S x6 P', length($code) / 8, $code);
    syscall(157, 38, 1, 0, 0, 0) == 0 && syscall(157, 22, 2, $program) == 0 or die $!;
    print syscall(${call}) >= 0 ? 'opened' : (grep { $!{$_} } qw(EAFNOSUPPORT ENOSYS))[0];`;
  const lines: string[] = [];
  const onLine = (line: string) => lines.push(line);
  await runTool('perl', ['-MErrno', '-e', script, file], { timeoutMs: 20_000, onLine });
  return lines;
}

async function canLoadFilter(): Promise<boolean> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return false;
  const perl = runTool('perl', ['-MErrno', '-e', '1'], { timeoutMs: 20_000 });
  return await perl.then(
    ({ code }) => code === 0,
    () => false,
  );
}
