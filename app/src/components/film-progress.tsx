import type { Strip } from '../lib/strip.ts';
import { Film } from './film.tsx';

/** A progress bar that is the video's own filmstrip: grey at first, in colour as far as it is done. */
export function FilmProgress(props: {
  strip: Strip | null;
  /** 0–100. */
  value: number;
  indeterminate: boolean;
  label: string;
  /** What a screen reader says of it. */
  text: string;
  tone: string;
}) {
  const { strip, value, indeterminate } = props;
  return (
    <div
      className="film-progress"
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={indeterminate ? undefined : Math.floor(value)}
      aria-valuetext={props.text}
      data-indeterminate={indeterminate}
      data-tone={props.tone}
      style={{ '--value': value / 100 }}
    >
      <Film strip={strip} />
      <Film strip={strip} className="done" />
      <div className="line" />
    </div>
  );
}
