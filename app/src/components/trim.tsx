import type { KeyboardEvent } from 'react';
import { timecode } from '../lib/format.ts';
import { resultSeconds } from '../lib/settings.ts';
import type { Source } from '../lib/source.ts';
import { stripOf, type Strip as Filmstrip } from '../lib/strip.ts';
import type { Bench } from '../lib/use-bench.ts';
import { Film } from './film.tsx';
import { FieldError, NumberField } from './fields.tsx';

const STEP = 0.1;
/** Shortest result, seconds. */
const LEAST = 0.1;

/** Two thumbs on the filmstrip, and the same two times as numbers. */
export function Trim(props: {
  bench: Bench;
  source: Source;
  time: number;
  onSeek: (seconds: number) => void;
}) {
  const { bench, source, time, onSeek } = props;
  const { start, end } = bench.settings;
  const duration = source.facts?.duration ?? null;
  const last = end ?? duration ?? 0;
  const dragStart = (value: number) => {
    const to = round(Math.min(Math.max(0, value), Math.max(0, last - LEAST)));
    bench.change({ start: to });
    onSeek(to);
  };
  const dragEnd = (value: number) => {
    const to = round(Math.max(value, start + LEAST));
    bench.change({ end: duration !== null && to >= duration - STEP / 2 ? null : to });
    onSeek(Math.min(to, duration ?? to));
  };
  return (
    <fieldset className="trim">
      <legend className="hidden">Trim</legend>
      {duration !== null && (
        <Strip
          {...{ duration, start, end: last, time, strip: stripOf(source.strip) }}
          onStart={dragStart}
          onEnd={dragEnd}
        />
      )}
      <TrimFields bench={bench} source={source} />
      <FieldError text={bench.errors.trim} />
    </fieldset>
  );
}

function TrimFields({ bench, source }: { bench: Bench; source: Source }) {
  const { start, end } = bench.settings;
  const duration = source.facts?.duration ?? null;
  const length = resultSeconds(bench.settings, source.facts);
  const typeEnd = (value: number | null) => {
    const whole = value !== null && duration !== null && value >= duration;
    bench.change({ end: whole ? null : value });
  };
  return (
    <div className="trim-fields">
      <NumberField
        label="Start"
        unit="s"
        value={start}
        step={STEP}
        min={0}
        onChange={(value) => bench.change({ start: value ?? 0 })}
      />
      <NumberField
        label="End"
        unit="s"
        value={end ?? (duration === null ? null : round(duration))}
        placeholder="end"
        step={STEP}
        min={0}
        onChange={typeEnd}
      />
      {length !== null && (
        <p className="trim-length">
          <span>Length</span> <strong>{timecode(length)}</strong>
        </p>
      )}
    </div>
  );
}

const round = (seconds: number) => Math.round(seconds * 10) / 10;

function Strip(props: {
  duration: number;
  start: number;
  end: number;
  time: number;
  strip: Filmstrip | null;
  onStart: (value: number) => void;
  onEnd: (value: number) => void;
}) {
  const { duration, start, end, time, strip } = props;
  const vars = {
    '--start': start / duration,
    '--end': Math.min(1, end / duration),
    '--time': Math.min(1, time / duration),
  };
  return (
    <div className="strip" style={vars}>
      <Film strip={strip} />
      <div className="cut before" />
      <div className="cut after" />
      <div className="window" />
      <div className="playhead" />
      <Thumb label="Trim start" value={start} max={duration} onChange={props.onStart} />
      <Thumb label="Trim end" value={end} max={duration} onChange={props.onEnd} />
    </div>
  );
}

function Thumb(props: {
  label: string;
  value: number;
  max: number;
  onChange: (value: number) => void;
}) {
  // The arrow keys move by one step; with Shift by a second.
  const bySecond = (event: KeyboardEvent) => {
    const forward = event.key === 'ArrowRight' || event.key === 'ArrowUp';
    const back = event.key === 'ArrowLeft' || event.key === 'ArrowDown';
    if (!event.shiftKey || !(forward || back)) return;
    event.preventDefault();
    props.onChange(props.value + (forward ? 1 : -1));
  };
  return (
    <input
      type="range"
      min={0}
      max={props.max}
      step={STEP}
      value={props.value}
      aria-label={props.label}
      aria-valuetext={timecode(props.value)}
      onKeyDown={bySecond}
      onChange={(event) => props.onChange(event.target.valueAsNumber)}
    />
  );
}
