import { FRAMES, type Strip } from '../lib/strip.ts';

/** Light of the video itself behind the picture. `at` is 0–100 of its length. */
export function Glow({ strip, at }: { strip: Strip | null; at: number }) {
  if (strip === null) return <div className="glow" aria-hidden="true" />;
  const last = strip.frames.length - 1;
  const frame = strip.frames[Math.min(last, Math.floor((at / 100) * (last + 1)))];
  return (
    <div className="glow lit" aria-hidden="true">
      <img src={strip.url} alt="" style={{ '--frame': frame, '--frames': FRAMES }} />
    </div>
  );
}

/** The first good frame of a strip, as a small picture. */
export function Thumbnail({ strip, label }: { strip: Strip | null; label: string }) {
  return (
    <span className="thumbnail" aria-hidden="true">
      {strip !== null && (
        <img src={strip.url} alt="" style={{ '--frame': strip.frames[3], '--frames': FRAMES }} />
      )}
      <b>{label}</b>
    </span>
  );
}
