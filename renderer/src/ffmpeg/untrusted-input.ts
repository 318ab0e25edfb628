/** A larger picture is refused before it can fill the memory, pixels. */
export const MAX_PIXELS = 8192 * 8192;
const MAX_STREAMS = 100;

/**
 * What keeps a hostile file harmless, before `-i`, for ffmpeg and ffprobe alike. Playlists and
 * scripts that point at other files (hls, dash, concat, sdp, image2, …) are not in the list: with
 * the protocols alone restricted, a playlist would still read any local file.
 */
export const UNTRUSTED_INPUT = [
  '-protocol_whitelist',
  'file,pipe',
  '-format_whitelist',
  'mov,matroska,avi,flv,mpegts,mpeg,mpegvideo,asf,ogg,gif,mxf,nut,ivf,h264,hevc,m4v,obu,' +
    'yuv4mpegpipe,dv,rm,wtv,mp3,wav,aac,flac,aiff,ac3',
  // Before anything is decoded, and for each picture after that: what would fill the memory is refused.
  '-max_pixels',
  String(MAX_PIXELS),
  '-max_streams',
  String(MAX_STREAMS),
  '-max_alloc',
  String(1024 ** 3),
] as const;

/** The fixed name inside a job's own folder: a user's file name never reaches a command line. */
export const INPUT_NAME = 'input';
