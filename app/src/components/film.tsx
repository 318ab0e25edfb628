import { FRAMES, type Strip } from '../lib/strip.ts';

/** The filmstrip over the whole width: each frame cut to its cell, never squeezed. */
export function Film({ strip, className = '' }: { strip: Strip | null; className?: string }) {
  return (
    <div className={`film ${className}`} data-empty={strip === null} aria-hidden="true">
      {strip?.frames.map((frame, cell) => (
        <i key={cell}>
          <img src={strip.url} alt="" style={{ '--frame': frame, '--frames': FRAMES }} />
        </i>
      ))}
    </div>
  );
}
