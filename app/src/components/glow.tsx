import { FRAMES } from '../lib/probe.ts';

/** Light of the video itself behind the picture. `at` is 0–100 of its length. */
export function Glow({ strip, at }: { strip: string | null; at: number }) {
  if (strip === null) return <div className="glow" aria-hidden="true" />;
  const frame = Math.min(FRAMES - 1, Math.floor((at / 100) * FRAMES));
  return (
    <div className="glow lit" aria-hidden="true">
      <img src={strip} alt="" style={{ '--frame': frame, '--frames': FRAMES }} />
    </div>
  );
}

/** The first good frame of a strip, as a small picture. */
export function Thumbnail({ strip, label }: { strip: string | null; label: string }) {
  return (
    <span className="thumbnail" aria-hidden="true">
      {strip !== null && <img src={strip} alt="" style={{ '--frame': 3, '--frames': FRAMES }} />}
      <b>{label}</b>
    </span>
  );
}
