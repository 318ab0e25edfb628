import { useEffect, useRef } from 'react';
import type { Bench } from '../lib/use-bench.ts';
import { DropZone } from './drop-zone.tsx';
import { Inspector } from './inspector.tsx';
import { Preview } from './preview.tsx';
import { Sending } from './sending.tsx';

/** Everything before a job exists: choosing, setting, sending. */
export function BenchView({ bench, hovering }: { bench: Bench; hovering: boolean }) {
  const { source, create } = bench;
  const { phase } = create.state;
  const sending = phase === 'uploading' || phase === 'creating';
  useGuard(phase === 'uploading');
  return (
    <>
      <h1 className="hidden" tabIndex={-1}>
        {`Export ${source?.filename ?? 'a video'}`}
      </h1>
      {source === null ? (
        <section className="workspace empty" aria-label="New export">
          <DropZone hovering={hovering} problem={bench.problem} onFile={bench.choose} />
        </section>
      ) : (
        <section className="workspace" aria-label="New export">
          <div className="stage-column">
            {sending ? (
              <Sending bench={bench} source={source} />
            ) : (
              <Preview bench={bench} source={source} />
            )}
          </div>
          <Inspector bench={bench} source={source} sending={sending} />
        </section>
      )}
    </>
  );
}

/** Leaving in the middle of an upload loses it, so the browser asks; at no other time. */
function useGuard(active: boolean) {
  const on = useRef(active);
  useEffect(() => {
    on.current = active;
  });
  useEffect(() => {
    const ask = (event: BeforeUnloadEvent) => {
      if (on.current) event.preventDefault();
    };
    addEventListener('beforeunload', ask);
    return () => removeEventListener('beforeunload', ask);
  }, []);
}
