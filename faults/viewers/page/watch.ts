// The page that a viewer has open: it watches one job with the SDK, and notes what it would show.
import { createClient } from '../../../client/src/index.ts';
import { sightingOf, type Sighting } from '../sighting.ts';

const {
  base = '',
  job = '',
  token = '',
} = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const notes: { seen: Sighting[]; ended: boolean; error: string | null } = {
  seen: [],
  ended: false,
  error: null,
};
Object.assign(globalThis, { notes });

const watch = createClient({ baseUrl: base, getToken: () => token }).watchExport(job);
watch.subscribe(() => {
  const { job: shown, connection, error } = watch.getSnapshot();
  notes.ended = connection === 'closed';
  notes.error = error && String(error);
  if (!shown) return;
  const sighting = sightingOf({ job: shown }, Date.now());
  if (sighting) notes.seen.push(sighting);
  document.title = `${shown.status} ${shown.progress} %`;
});
