import { useEffect, useRef, useState, type RefObject } from 'react';
import { timecode } from '../lib/format.ts';
import { resultSides } from '../lib/settings.ts';
import type { Source } from '../lib/source.ts';
import { stripOf } from '../lib/strip.ts';
import type { Bench } from '../lib/use-bench.ts';
import { FileButton } from './file-button.tsx';
import { Glow } from './glow.tsx';
import { Icon } from './icon.tsx';
import { Trim } from './trim.tsx';

/** The chosen video, playing what the trim leaves of it, framed as the result will be. */
export function Preview({ bench, source }: { bench: Bench; source: Source }) {
  const video = useRef<HTMLVideoElement>(null);
  const { start, end } = bench.settings;
  const playback = usePlayback(video, start, end ?? source.facts?.duration ?? 0);
  return (
    <>
      <div className="monitor">
        <Glow strip={stripOf(source.strip)} at={0} />
        <Picture bench={bench} source={source} video={video} onClick={playback.toggle} />
        <p className="file-label">
          <strong>{source.filename}</strong>
          {source.facts && ` ${source.facts.width} × ${source.facts.height}`}
        </p>
        <FileButton className="on-picture replace" onFile={bench.choose}>
          Replace
        </FileButton>
        {source.url !== null && source.facts !== null && (
          <Transport {...playback} duration={source.facts.duration} />
        )}
      </div>
      <Trim bench={bench} source={source} time={playback.time} onSeek={playback.seek} />
    </>
  );
}

function Picture(props: {
  bench: Bench;
  source: Source;
  video: RefObject<HTMLVideoElement | null>;
  onClick: () => void;
}) {
  const { bench, source, video, onClick } = props;
  if (source.url === null || source.facts === null) return <NoPicture source={source} />;
  const [width, height] = resultSides(bench.settings, source.facts) ?? [16, 9];
  return (
    <div className="frame" style={{ '--shape': width / height }}>
      <video
        ref={video}
        src={source.url}
        muted={bench.settings.mute}
        playsInline
        style={{ objectFit: fitOf(bench) }}
        onClick={onClick}
      />
    </div>
  );
}

function Transport(props: {
  time: number;
  duration: number;
  playing: boolean;
  toggle: () => void;
}) {
  return (
    <div className="transport">
      <button
        type="button"
        className="on-picture square"
        onClick={props.toggle}
        aria-label={props.playing ? 'Pause' : 'Play'}
      >
        <Icon name={props.playing ? 'pause' : 'play'} />
      </button>
      <p className="timecode">
        {timecode(props.time)} <span>/ {timecode(props.duration)}</span>
      </p>
    </div>
  );
}

const fitOf = ({ settings }: Bench) => (settings.fit === 'stretch' ? 'fill' : settings.fit);

function NoPicture({ source }: { source: Source }) {
  if (source.probing) return <p className="no-picture">Reading the video…</p>;
  if (source.file === null) return <p className="no-picture">Uploaded earlier, ready to export</p>;
  return (
    <p className="no-picture">
      This browser cannot show the file. The renderer may still read it: try.
    </p>
  );
}

/** Follows and drives the player, and loops it between `start` and `end` (seconds). */
function usePlayback(video: RefObject<HTMLVideoElement | null>, start: number, end: number) {
  const [time, setTime] = useState(0);
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    let frame = requestAnimationFrame(function follow() {
      const player = video.current;
      if (player !== null) {
        setTime(player.currentTime);
        setPlaying(!player.paused);
        const outside = player.currentTime >= end - 0.02 || player.currentTime < start - 0.1;
        if (outside && !player.paused) player.currentTime = start;
        if (player.ended && end - start > 0) player.currentTime = start;
      }
      frame = requestAnimationFrame(follow);
    });
    return () => cancelAnimationFrame(frame);
  }, [video, start, end]);
  const toggle = () => {
    const player = video.current;
    if (player === null) return;
    // A refused play leaves the player paused, and the button says so.
    if (player.paused) player.play().catch(() => setPlaying(false));
    else player.pause();
  };
  const seek = (seconds: number) => {
    if (video.current === null) return;
    video.current.pause();
    video.current.currentTime = seconds;
  };
  return { time, playing, toggle, seek };
}
