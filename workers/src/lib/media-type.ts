/** What the ending of a name tells; others tell nothing. */
const TYPE_OF_ENDING: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'video/mp4': 'mp4 m4v',
    'video/quicktime': 'mov qt',
    'video/webm': 'webm',
    'video/x-matroska': 'mkv',
    'video/x-msvideo': 'avi',
    'video/mpeg': 'mpg mpeg',
    'video/mp2t': 'ts mts m2ts',
    'video/ogg': 'ogv',
    'video/3gpp': '3gp',
    'video/x-ms-wmv': 'wmv',
    'video/x-flv': 'flv',
    'application/mxf': 'mxf',
    'audio/mpeg': 'mp3',
    'audio/mp4': 'm4a',
    'audio/wav': 'wav',
    'audio/ogg': 'ogg oga opus',
    'audio/flac': 'flac',
    'image/gif': 'gif',
    'image/jpeg': 'jpg jpeg',
    'image/png': 'png',
    'image/svg+xml': 'svg',
    'image/webp': 'webp',
    'text/html': 'html htm',
    'text/plain': 'txt',
    'application/pdf': 'pdf',
    'application/zip': 'zip',
  }).flatMap(([type, endings]) => endings.split(' ').map((ending) => [ending, type] as const)),
);

/** The media type of a file as it is announced, else as its name ends; in lower case, without parameters. */
export function mediaTypeOf(filename: string, announced?: string): string {
  const [said = ''] = announced?.toLowerCase().split(';') ?? [];
  const ending = /\.(\w+)$/.exec(filename.toLowerCase())?.[1] ?? '';
  return said.trim() || (TYPE_OF_ENDING.get(ending) ?? 'application/octet-stream');
}

const MEDIA_TYPE = /^([\w.+-]+)\/[\w.+-]+$/;

/** Whether a type is one of those that the ranges name, such as `video/*`; what has no type's form is none. */
export function isAmong(type: string, ranges: readonly string[]): boolean {
  const [, kind] = MEDIA_TYPE.exec(type) ?? [];
  if (kind === undefined) return false;
  return ranges.some((range) => range === type || range === `${kind}/*`);
}
