import { useEffect, useRef, useState } from 'react';
import { bytes, leftIn, percent } from '../lib/format.ts';
import { rateOf, withSample, type Sample } from '../lib/rate.ts';
import type { Source } from '../lib/source.ts';
import { stripOf } from '../lib/strip.ts';
import { useTab } from '../lib/tab.ts';
import type { Bench } from '../lib/use-bench.ts';
import { FilmProgress } from './film-progress.tsx';
import { Glow } from './glow.tsx';

/** The file on its way to the server. */
export function Sending({ bench, source }: { bench: Bench; source: Source }) {
  const { state } = bench.create;
  const done = state.phase !== 'uploading';
  const whole = source.size ?? 0;
  const { sent, size, resumed } = done ? { sent: whole, size: whole, resumed: 0 } : state;
  const value = size === 0 ? 0 : (sent / size) * 100;
  const speed = useSpeed(sent, resumed);
  const left = speed > 0 && !done ? leftIn(((size - sent) / speed) * 1000) : null;
  const strip = stripOf(source.strip);
  useTab(done ? null : value, `sending ${source.filename}`);
  return (
    <>
      <div className="monitor">
        <Glow strip={strip} at={value} />
        <div className="reading">
          <p className="big">{done ? percent(100) : percent(value)}</p>
          <p className="doing">{done ? 'Creating the export' : `Sending ${source.filename}`}</p>
          <p className="aside">
            {[`${bytes(sent)} of ${bytes(size)}`, speed > 0 && `${bytes(speed)}/s`, left]
              .filter(Boolean)
              .join(' · ')}
          </p>
        </div>
      </div>
      <FilmProgress
        strip={strip}
        value={value}
        indeterminate={false}
        label="Upload"
        text={[percent(value).replace('%', ' percent'), left].filter(Boolean).join(', ')}
        tone="sending"
      />
    </>
  );
}

/** Bytes a second over the last few seconds; 0 until it is worth telling. */
function useSpeed(sent: number, resumed: number): number {
  const samples = useRef<Sample[]>([]);
  const [speed, setSpeed] = useState(0);
  useEffect(() => {
    const latest = { time: performance.now(), sent };
    samples.current = withSample(samples.current, latest, resumed);
    const rate = rateOf(samples.current);
    if (rate !== null) setSpeed(rate);
  }, [sent, resumed]);
  return speed;
}
