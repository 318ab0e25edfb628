import { CODECS_OF, CONTAINERS, GIF_LIMITS, MAX_SIDE, type Fit } from '@export-jobs/protocol';
import { CODEC_NAMES, CONTAINER_NAMES } from '../lib/describe.ts';
import { SIZES, type Settings, type Size } from '../lib/settings.ts';
import type { Bench } from '../lib/use-bench.ts';
import { NumberField, Segments, Select, Slider, Switch, type Choice } from './fields.tsx';
import { Icon } from './icon.tsx';

const FITS: readonly Choice<Fit>[] = [
  { value: 'contain', name: 'Fit' },
  { value: 'cover', name: 'Fill' },
  { value: 'stretch', name: 'Stretch' },
];
const RATES = [60, 50, 30, 25, 24, 20, 15, 10];

/** Everything that a preset decides, one by one. */
export function FineSettings({ bench }: { bench: Bench }) {
  // A wrong value must not hide in a closed drawer. What is wrong with the trim shows elsewhere.
  const wrong = Object.keys(bench.errors).some((field) => field !== 'trim');
  return (
    <details className="fine" open={wrong || undefined}>
      <summary>
        <Icon name="sliders" />
        Fine settings
      </summary>
      <div className="fine-grid">
        <FormatFields bench={bench} />
        <SizeFields bench={bench} />
        <QualityFields bench={bench} />
      </div>
    </details>
  );
}

function FormatFields({ bench: { settings, errors, change } }: { bench: Bench }) {
  const codecs = CODECS_OF[settings.container];
  return (
    <>
      <Select
        label="Format"
        value={settings.container}
        choices={CONTAINERS.map((value) => ({ value, name: CONTAINER_NAMES[value] }))}
        error={errors.container}
        onChange={(container) => change({ container })}
      />
      {codecs.length > 0 && (
        <Select
          label="Codec"
          value={settings.codec}
          choices={codecs.map((value) => ({ value, name: CODEC_NAMES[value] }))}
          error={errors.codec}
          onChange={(codec) => change({ codec })}
        />
      )}
    </>
  );
}

function QualityFields({ bench: { settings, errors, change } }: { bench: Bench }) {
  const silent = settings.container === 'gif';
  return (
    <>
      <Select
        label="Frames a second"
        value={settings.fps}
        choices={ratesOf(settings)}
        error={errors.fps}
        onChange={(fps) => change({ fps })}
      />
      <div className="whole">
        <Slider
          label="Quality"
          value={settings.quality}
          min={1}
          max={100}
          ends={['Smaller file', 'Better picture']}
          error={errors.quality}
          onChange={(quality) => change({ quality })}
        />
      </div>
      <div className="whole">
        <Switch
          label="Sound"
          checked={!settings.mute && !silent}
          disabled={silent}
          onChange={(sound) => change({ mute: !sound })}
        />
      </div>
    </>
  );
}

function SizeFields({ bench }: { bench: Bench }) {
  const { settings, errors, change } = bench;
  const custom = settings.size === 'custom';
  const limits = { step: 2, min: 2, max: MAX_SIDE, unit: 'px', placeholder: 'auto' };
  return (
    <>
      <Select
        label="Size"
        value={settings.size}
        choices={sizesOf(settings).map((value) => ({ value, name: sizeName(value) }))}
        error={errors.size}
        onChange={(size) => change({ size })}
      />
      {custom && (
        <>
          <NumberField
            {...limits}
            label="Width"
            value={settings.width}
            error={errors.width}
            onChange={(width) => change({ width })}
          />
          <NumberField
            {...limits}
            label="Height"
            value={settings.height}
            error={errors.height}
            onChange={(height) => change({ height })}
          />
          <div className="whole">
            <Segments
              label="The picture in this frame"
              value={settings.fit}
              choices={FITS}
              error={errors.fit}
              onChange={(fit) => change({ fit })}
            />
          </div>
        </>
      )}
    </>
  );
}

const sizesOf = ({ container }: Settings): readonly Size[] =>
  container === 'gif' ? ['source', 480, 'custom'] : SIZES;

function sizeName(size: Size): string {
  if (size === 'source') return 'As the source';
  if (size === 'custom') return 'Custom';
  return size === 2160 ? '2160p (4K)' : `${size}p`;
}

function ratesOf({ container, fps }: Settings): Choice<number | null>[] {
  const known = RATES.filter((rate) => container !== 'gif' || rate <= GIF_LIMITS.fps);
  const all = fps === null || known.includes(fps) ? known : [fps, ...known];
  return [
    { value: null, name: 'As the source' },
    ...all.map((value) => ({ value, name: `${value}` })),
  ];
}
