import { FRAMES } from '../lib/probe.ts';

const CELLS = Array.from({ length: FRAMES }, (_, frame) => frame);

/** The filmstrip over the whole width: each frame cut to its cell, never squeezed. */
export function Film({ strip, className = '' }: { strip: string | null; className?: string }) {
  return (
    <div className={`film ${className}`} data-empty={strip === null} aria-hidden="true">
      {strip !== null &&
        CELLS.map((frame) => (
          <i key={frame}>
            <img src={strip} alt="" style={{ '--frame': frame, '--frames': FRAMES }} />
          </i>
        ))}
    </div>
  );
}
