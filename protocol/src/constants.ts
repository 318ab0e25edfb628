// Plain values of the wire, free of any import, so that the browser's bundle stays small.

/**
 * The bytes of a keep-alive and of its answer. The platform answers these exact bytes without
 * waking the object; a ping spelled otherwise is answered too, but wakes it.
 */
export const PING = '{"type":"ping"}';
export const PONG = '{"type":"pong"}';

/** The WebSocket subprotocol that a viewer offers; the server echoes this one and no other. */
export const VIEWER_SUBPROTOCOL = 'export.v1';
/** The same for a renderer's socket. */
export const RENDERER_SUBPROTOCOL = 'render.v1';
/** A token travels as a second offered subprotocol: this prefix, then the token. */
export const BEARER_SUBPROTOCOL = 'bearer.';

/**
 * A file of more bytes than this goes up by parts, all of one size but the last; of this one, unless that would be
 * more parts than R2 takes.
 */
export const PART_BYTES = 16 * 1024 ** 2;
/** R2 takes no more parts of a file. */
export const MAX_PARTS = 10_000;
/** Cloudflare takes 100 MB in a request, so no part is larger. */
const MAX_PART_BYTES = 95 * 1024 ** 2;

/** Largest file that is taken unless a plan says otherwise, and the largest that R2 takes in one piece; bytes. */
export const MAX_UPLOAD_BYTES = 5 * 1024 ** 3 - 5 * 1024 ** 2;
/** Largest file that a plan can allow, bytes. */
export const MAX_FILE_BYTES = MAX_PARTS * MAX_PART_BYTES;

/** Largest message that a viewer may send, characters. */
export const MAX_VIEWER_FRAME = 1024;

/** Why the server closes a socket. */
export const CLOSE_CODES = {
  /** Too many messages in too short a time. */
  flood: 1008,
  /** A message larger than `MAX_VIEWER_FRAME`. */
  oversize: 1009,
  /** A viewer's token has expired: dial again with another. */
  expired: 4401,
  /** The socket's state was written by another version: dial again at once. */
  stale: 4409,
  /** To a renderer: the attempt is not, or no longer, its own. */
  fenced: 4410,
} as const;
