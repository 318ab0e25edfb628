import { CODEC_NAMES, CONTAINER_NAMES } from '../lib/describe.ts';
import { timecode } from '../lib/format.ts';
import { PRESETS, presetOf, resultSeconds, resultSides, type Settings } from '../lib/settings.ts';
import type { Source } from '../lib/source.ts';
import type { Bench } from '../lib/use-bench.ts';
import { FineSettings } from './fine-settings.tsx';

/** The panel of settings, and the button that it is all about. */
export function Inspector(props: { bench: Bench; source: Source; sending: boolean }) {
  const { bench, source, sending } = props;
  const wrong = Object.keys(bench.errors).length > 0;
  return (
    <form
      className="panel inspector"
      aria-label="Export settings"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!wrong && !sending) void bench.start();
      }}
    >
      <fieldset disabled={sending} className="plain">
        <legend className="panel-title">Export for</legend>
        <Presets bench={bench} />
        <FineSettings bench={bench} />
      </fieldset>
      <div className="submit">
        {bench.problem !== null && (
          <p role="alert" data-testid="error" className="alert">
            {bench.problem}
          </p>
        )}
        <p className="summary">{summaryOf(bench.settings, source)}</p>
        {sending ? (
          <button type="button" className="secondary wide" onClick={bench.create.reset}>
            Stop sending
          </button>
        ) : (
          <button type="submit" className="primary wide" data-testid="export" disabled={wrong}>
            Export
          </button>
        )}
      </div>
    </form>
  );
}

function Presets({ bench }: { bench: Bench }) {
  const active = presetOf(bench.settings);
  return (
    <div className="presets">
      {PRESETS.map((preset) => (
        <button
          key={preset.id}
          type="button"
          className="preset"
          aria-pressed={preset === active}
          onClick={() => bench.use(preset)}
        >
          <span className="shape" style={{ '--shape': preset.shape }} aria-hidden="true" />
          <span>
            <strong>{preset.name}</strong>
            <small>{preset.hint}</small>
          </span>
        </button>
      ))}
    </div>
  );
}

function summaryOf(settings: Settings, source: Source): string {
  const sides = resultSides(settings, source.facts);
  const seconds = resultSeconds(settings, source.facts);
  return [
    CONTAINER_NAMES[settings.container],
    settings.codec && CODEC_NAMES[settings.codec],
    sides && `${sides[0]} × ${sides[1]}`,
    seconds !== null && timecode(seconds),
    (settings.mute || settings.container === 'gif') && 'no sound',
  ]
    .filter(Boolean)
    .join(' · ');
}
