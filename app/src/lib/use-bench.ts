import { useCreateExport, type CreateExport } from '@export-jobs/client/react';
import { useCallback, useEffect, useRef, useState, type RefObject } from 'react';
import { amend, remember } from './memory.ts';
import { probe } from './probe.ts';
import { goTo } from './route.ts';
import { DEFAULTS, toOptions, withContainer, type Preset, type Settings } from './settings.ts';
import { sourceOfFile, type Source } from './source.ts';
import { serverErrors, validate, type FieldErrors } from './validate.ts';

/** The next export: its video, its settings, and how far its making has come. */
export interface Bench {
  source: Source | null;
  settings: Settings;
  errors: FieldErrors;
  /** Why the last choice of a file was refused, or the last export not made. */
  problem: string | null;
  create: CreateExport;
  choose: (file: File) => void;
  load: (source: Source | null, settings: Settings) => void;
  change: (change: Partial<Settings>) => void;
  use: (preset: Preset) => void;
  start: () => Promise<void>;
}

export function useBench(): Bench {
  const create = useCreateExport();
  const { source, current, replace, open } = useSource();
  const [settings, setSettings] = useState(DEFAULTS);
  const [refused, setRefused] = useState<string | null>(null);
  const failure = create.state.phase === 'failed' ? create.state.error : null;

  const load = (next: Source | null, settingsOfNext: Settings) => {
    create.reset();
    setRefused(null);
    replace(next);
    setSettings(settingsOfNext);
    goTo(null);
  };
  const choose = (file: File) => {
    if (file.size === 0) return setRefused(`“${file.name}” is empty. Choose another file.`);
    load(null, { ...settings, start: 0, end: null });
    open(file);
  };
  const change = (part: Partial<Settings>) => {
    if (failure !== null) create.reset();
    setSettings((now) => {
      const next = { ...now, ...part };
      return part.container === undefined ? next : withContainer(next, part.container);
    });
  };
  const start = async () => {
    const made = await make(current, settings, create);
    if (made === null) return;
    replace(current.current && { ...current.current, uploadId: made.upload_id });
    create.reset();
    goTo(made.job.id);
  };
  return {
    source,
    settings,
    errors: { ...serverErrors(failure), ...validate(settings, source?.facts ?? null) },
    problem: refused ?? failure?.message ?? null,
    create,
    choose,
    load,
    change,
    use: (preset) => setSettings((now) => ({ ...now, ...preset.settings })),
    start,
  };
}

/** `current` is read again at the end, because frames may be found while the bytes are sent. */
async function make(current: Current, settings: Settings, create: CreateExport) {
  const source = current.current;
  const uploadId = source && uploadOf(source, create);
  const input = uploadId === null ? source?.file : { upload_id: uploadId };
  if (!source || !input) return null;
  const made = await create.start(input, toOptions(settings, source.facts));
  if (made === null) return null;
  const { facts, strip } = current.current ?? source;
  if (made.upload_id !== null) remember(made.job.id, { uploadId: made.upload_id, facts, strip });
  return made;
}

/** The bytes may be on the server already, though the job was refused or the file used before. */
function uploadOf(source: Source, { state }: CreateExport): string | null {
  return state.phase === 'failed' && state.upload_id !== null ? state.upload_id : source.uploadId;
}

type Current = RefObject<Source | null>;

function useSource() {
  const [source, setSource] = useState<Source | null>(null);
  const current: Current = useRef<Source | null>(null);
  const probing = useRef<AbortController | null>(null);

  const replace = useCallback((next: Source | null) => {
    const before = current.current?.url ?? null;
    if (before !== null && before !== next?.url) {
      // Later: until the next paint the old player still reads it.
      setTimeout(() => URL.revokeObjectURL(before), 1000);
    }
    current.current = next;
    setSource(next);
  }, []);
  const open = useCallback(
    (file: File) => {
      probing.current?.abort();
      const own = new AbortController();
      probing.current = own;
      const opened = sourceOfFile(file);
      replace(opened);
      const learn = (part: Partial<Source>) => {
        if (current.current?.url !== opened.url) return;
        const known = { ...current.current, ...part };
        replace(known);
        // An export of it may have been made meanwhile.
        if (known.uploadId !== null) amend(known.uploadId, known);
      };
      void probe(opened.url, own.signal, learn).then(() => learn({ probing: false }));
    },
    [replace],
  );
  useEffect(() => () => probing.current?.abort(), []);
  return { source, current, replace, open };
}
