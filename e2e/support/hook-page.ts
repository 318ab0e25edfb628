// A page of one's own that uses the hooks, with React's development build and StrictMode. A test drives it by
// `window.hooks`.
import { createElement, Profiler, StrictMode, useEffect, type ReactElement } from 'react';
import { createRoot } from 'react-dom/client';
import { createClient, ExportWatch } from '@export-jobs/client';
import {
  ExportProgress,
  ExportsProvider,
  useExportJob,
  useUpload,
  type Upload,
} from '@export-jobs/client/react';

const client = createClient({ baseUrl: new URL(location.href).searchParams.get('server') ?? '' });
let frame = 0;
let upload: Upload | undefined;

function Bar({ id }: { id: string }): ReactElement {
  const { job, connection } = useExportJob(id);
  return createElement(ExportProgress, { job, title: connection });
}

function Uploader(): ReactElement {
  const now = useUpload();
  useEffect(() => {
    upload = now;
  });
  return createElement('output', {}, now.state.phase);
}

/** Shows components in a root of their own. @returns takes them away again. */
function show(...components: ReactElement[]): () => void {
  const place = document.body.appendChild(document.createElement('main'));
  const root = createRoot(place);
  const provided = createElement(ExportsProvider, { client }, ...components);
  root.render(createElement(StrictMode, null, provided));
  return () => {
    root.unmount();
    place.remove();
  };
}

/** A bar that notes when it is rendered. */
function measuredBar(id: string, key: string): ReactElement {
  const onRender = () => hooks.renders.push(`${key} in frame ${frame}`);
  return createElement(Profiler, { id: key, key, onRender }, createElement(Bar, { id }));
}

/** Waits for a condition on what is shown, frame by frame. */
async function shown(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => requestAnimationFrame(resolve));
}

const hooks = {
  ExportWatch,
  /** Which bar was rendered in which frame. */
  renders: [] as string[],
  /** In which frame each message of a socket was heard. */
  heard: [] as number[],
  /** Shows two bars of a job in one root. */
  mount: (id: string) => show(measuredBar(id, 'one'), measuredBar(id, 'two')),
  /** Mounts and unmounts so many times, each time when something is shown. */
  async cycle(id: string, times: number, until: string): Promise<void> {
    for (let n = 0; n < times; n += 1) {
      const unmount = hooks.mount(id);
      await shown(() => document.querySelector(until) !== null);
      unmount();
      // As React's own work after an unmount, which it puts off.
      await new Promise((resolve) => setTimeout(resolve));
    }
  },
  mountUpload: () => show(createElement(Uploader)),
  startUpload: async (bytes: string) => (await upload?.start(new Blob([bytes]))) ?? null,
};
export type Hooks = typeof hooks;

/** The browser's own, which notes when it hears something. */
class NotingSocket extends WebSocket {
  constructor(url: string, protocols?: string[]) {
    super(url, protocols);
    this.addEventListener('message', () => hooks.heard.push(frame));
  }
}

Object.assign(window, { hooks, WebSocket: NotingSocket });

const count = () => {
  frame += 1;
  requestAnimationFrame(count);
};
count();
