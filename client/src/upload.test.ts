import { afterEach, describe, expect, it, vi } from 'vitest';
import { PART, partsServer, type Heard } from '../test/parts-server.ts';
import { json, problem } from '../test/viewer-server.ts';
import { soon } from '../test/soon.ts';
import { createClient } from './client.ts';
import { nextUploadState, type UploadState } from './upload-hook.ts';
import { UploadPause } from './upload-pause.ts';

const timing = { backoffMin: 1, backoffMax: 4, retries: 4, request: 2000 };
const BYTES = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
const COUNT = Math.ceil(BYTES.length / PART);
const ALL = Array.from({ length: COUNT }, (_, i) => i + 1);

const film = (bytes = BYTES) =>
  new File([bytes], 'film.mov', { lastModified: 7, type: 'video/quicktime' });

/** What a browser keeps from one page to the next. */
function newStore() {
  const kept = new Map<string, string>();
  return {
    kept,
    get: (key: string) => kept.get(key) ?? null,
    set: (key: string, value: string) => void kept.set(key, value),
    delete: (key: string) => void kept.delete(key),
  };
}

const inOrder = (numbers: number[]) => numbers.toSorted((a, b) => a - b);

afterEach(() => vi.unstubAllGlobals());

describe('a large file', () => {
  it('goes up by parts, four at a time, each with its checksum, and is put together', async () => {
    const together: (() => void)[] = [];
    await using server = await partsServer(async ({ what }) => {
      if (what !== 'part' || together.length >= 4) return false;
      await new Promise<void>((resolve) => {
        together.push(resolve);
        if (together.length === 4) for (const go of together) go();
      });
      return false;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing, getToken: () => 'key' });
    const told: number[] = [];
    const onProgress = (sent: number, size: number) => {
      expect(size).toBe(BYTES.length);
      told.push(sent);
    };
    const done = await client.uploadFile(film(), { onProgress });
    expect(done).toMatchObject({ upload_id: 'upl_1', size: BYTES.length });
    expect(server.files).toEqual([BYTES]);
    expect(server.most()).toBe(4);
    expect(inOrder(server.numbers('part'))).toEqual(ALL);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(told.at(-1)).toBe(BYTES.length);
    expect(server.announced).toEqual([
      { filename: 'film.mov', size: BYTES.length, content_type: 'video/quicktime' },
    ]);
  });

  it('can be a stream, which is read once and in order', async () => {
    await using server = await partsServer(({ what, number, nth, request }) => {
      if (what !== 'part' || number !== 3 || nth > 1) return false;
      request.socket.destroy();
      return true;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const stream = new Blob([BYTES.slice(0, 7), BYTES.slice(7, 48), BYTES.slice(48)]).stream();
    await client.uploadFile({ filename: 'a.mov', size: BYTES.length, stream });
    expect(server.files).toEqual([BYTES]);
  });

  it('has each part repeated that fails, to a new address, and no other', async () => {
    const troubles: Record<number, [number, string, boolean]> = {
      2: [503, 'storage_unavailable', true],
      3: [403, 'link_expired', false],
      4: [400, 'bad_digest', false],
      5: [422, 'checksum_mismatch', true],
    };
    await using server = await partsServer(({ what, number, nth, request, response }) => {
      const trouble = troubles[number];
      if (what !== 'part' || nth > 1) return false;
      if (number === 6) request.socket.destroy();
      else if (trouble) json(response, trouble[0], problem(trouble[1], trouble[0], trouble[2]));
      return number === 6 || trouble !== undefined;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await client.uploadFile(film());
    expect(server.files).toEqual([BYTES]);
    expect(inOrder(server.numbers('part'))).toEqual(inOrder([...ALL, 2, 3, 4, 5, 6]));
    expect(inOrder(server.numbers('mint'))).toEqual(inOrder([...ALL, 2, 3, 4, 5, 6]));
  });

  it('is given up after a part that is refused, and thrown away there', async () => {
    await using server = await partsServer(({ what, number, response }) => {
      if (what !== 'part' || number !== 2) return false;
      json(response, 422, problem('invalid_body', 422));
      return true;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.uploadFile(film())).rejects.toMatchObject({ code: 'invalid_body' });
    expect(server.numbers('part').length).toBeLessThan(COUNT);
    await soon(() => expect(server.numbers('abort')).toHaveLength(1));
  });

  it('is asked to be put together again when the answer is lost', async () => {
    await using server = await partsServer(({ what, nth, request }) => {
      if (what !== 'complete' || nth > 1) return false;
      request.socket.destroy();
      return true;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.uploadFile(film())).resolves.toMatchObject({ upload_id: 'upl_1' });
    expect(server.numbers('complete')).toHaveLength(2);
  });

  it('says what to change when a bucket hides its tags from pages', async () => {
    await using server = await partsServer(({ what, response }) => {
      if (what !== 'part') return false;
      json(response, 200, {});
      return true;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.uploadFile(film())).rejects.toThrow(/ETag/);
  });

  it('is held and let go on; what is on its way arrives', async () => {
    const pause = new UploadPause();
    await using server = await partsServer(({ what }) => {
      if (what === 'part') pause.pause();
      return false;
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const told: number[] = [];
    const upload = client.uploadFile(film(), { pause, onProgress: (sent) => told.push(sent) });
    await soon(() => expect(told.at(-1)).toBe(4 * PART));
    // Nothing else can be waited for than that nothing happens: each turn of the loop would ask for a part.
    for (let n = 0; n < 50; n += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(inOrder(server.numbers('mint'))).toEqual([1, 2, 3, 4]);
    pause.pause = () => undefined;
    pause.resume();
    await expect(upload).resolves.toMatchObject({ upload_id: 'upl_1' });
    expect(server.files).toEqual([BYTES]);
  });

  it('is stopped by an abort, also while it is held', async () => {
    const stop = new AbortController();
    const pause = new UploadPause();
    pause.pause();
    await using server = await partsServer();
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const upload = client.uploadFile(film(), { pause, signal: stop.signal });
    await soon(() => expect(server.heard).toHaveLength(1));
    stop.abort(new Error('enough'));
    await expect(upload).rejects.toThrow('enough');
    expect(server.numbers('part')).toEqual([]);
  });

  it('waits for a network that is gone, however long, and counts no failure', async () => {
    const events = new EventTarget();
    vi.stubGlobal('addEventListener', events.addEventListener.bind(events));
    let isOnline = true;
    vi.stubGlobal('navigator', {
      get onLine() {
        // It comes back once the client has seen that it is gone.
        if (!isOnline) {
          setImmediate(() => {
            isOnline = true;
            events.dispatchEvent(new Event('online'));
          });
        }
        return isOnline;
      },
    });
    let cuts = 0;
    await using server = await partsServer(({ what, number, request }) => {
      if (what !== 'part' || number !== 5 || cuts === 30) return false;
      cuts += 1;
      isOnline = false;
      request.socket.destroy();
      return true;
    });
    const client = createClient({
      baseUrl: server.baseUrl,
      timing: { ...timing, backoffMax: 4, retries: 2 },
    });
    await client.uploadFile(film());
    expect(server.files).toEqual([BYTES]);
    expect(cuts).toBe(30);
  });
});

describe('a page that is loaded again', () => {
  type Server = Awaited<ReturnType<typeof partsServer>>;

  /** Sends until five parts are kept and four more are on their way, then vanishes as a page does. */
  async function vanish(server: Server, store: ReturnType<typeof newStore>) {
    const page = new AbortController();
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const upload = client.uploadFile(film(), { store, signal: page.signal });
    upload.catch(() => undefined);
    const isMidway = () => sentIn(store) === 5 && server.numbers('part').length === 9;
    await soon(() => expect(isMidway()).toBe(true), { interval: 1 });
    page.abort(new Error('gone'));
    await expect(upload).rejects.toThrow('gone');
  }

  const sentIn = (store: ReturnType<typeof newStore>): number => {
    const [text = ''] = store.kept.values();
    return text.split('"md5"').length - 1;
  };
  const stuckAt =
    (numbers: number[], isOver: () => boolean) =>
    async ({ what, number }: Heard): Promise<boolean> => {
      if (what === 'part' && numbers.includes(number)) {
        while (!isOver()) await new Promise((resolve) => setImmediate(resolve));
      }
      return false;
    };

  it('goes on with the same file where it was', async () => {
    const store = newStore();
    let isOver = false;
    await using server = await partsServer(stuckAt([6, 7, 8, 9, 10], () => isOver));
    await vanish(server, store);
    isOver = true;
    const before = server.heard.length;
    const resumed: number[] = [];
    const told: number[] = [];
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await client.uploadFile(film(), {
      store,
      onResume: (sent) => resumed.push(sent),
      onProgress: (sent) => told.push(sent),
    });
    expect(server.files).toEqual([BYTES]);
    expect(resumed).toEqual([50]);
    expect(told[0]).toBe(50);
    const after = server.heard.slice(before);
    expect(after.filter(({ what }) => what === 'announce')).toEqual([]);
    const again = after.filter(({ what }) => what === 'mint').map(({ number }) => number);
    expect(inOrder(again)).toEqual([6, 7, 8, 9, 10]);
    expect(store.kept.size).toBe(0);
    expect(server.numbers('abort')).toEqual([]);
  });

  it('begins anew with another file, or when the upload is no longer there', async () => {
    const store = newStore();
    let isOver = false;
    let isForgotten = false;
    await using server = await partsServer(async (call) => {
      const isGone = isForgotten && call.request.headers.authorization === 'Bearer token-1';
      if (isGone) json(call.response, 404, problem('upload_not_found', 404));
      return isGone || stuckAt([6, 7, 8, 9, 10], () => isOver)(call);
    });
    await vanish(server, store);
    isOver = true;
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const newer = new File([BYTES], 'film.mov', { lastModified: 8 });
    const { kept } = store;
    const [old] = kept.entries();
    await client.uploadFile(newer, { store });
    expect(server.numbers('announce')).toHaveLength(2);
    expect([...kept.entries()]).toEqual([old]);
    isForgotten = true;
    await client.uploadFile(film(), { store });
    expect(server.numbers('announce')).toHaveLength(3);
    expect(server.files).toEqual([BYTES, BYTES]);
    expect(kept.size).toBe(0);
  });

  it('begins anew when what is kept is no longer valid, broken, or cannot be read', async () => {
    await using server = await partsServer();
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const session = {
      upload_id: 'upl_1',
      expires_at: Date.now() - 1,
      parts: { size: PART, count: COUNT, token: 'token-1' },
      sent: [],
    };
    for (const text of [JSON.stringify(session), '{"sent":', '[]', 'null']) {
      await client.uploadFile(film(), { store: { ...newStore(), get: () => text } });
    }
    const broken = () => {
      throw new Error('full');
    };
    await client.uploadFile(film(), { store: { get: broken, set: broken, delete: broken } });
    expect(server.files).toEqual(Array.from({ length: 5 }, () => BYTES));
  });

  it('keeps it in localStorage, from which it also takes what is too old', async () => {
    const kept: Record<string, string> = {
      'export-jobs.upload old': '{"expires_at":1}',
      theirs: 'untouched',
    };
    const methods = {
      getItem: (key: string) => kept[key] ?? null,
      setItem: (key: string, value: string) => void (kept[key] = value),
      removeItem: (key: string) => void delete kept[key],
    };
    // As the browser's: its own keys are what is kept.
    vi.stubGlobal('localStorage', Object.setPrototypeOf(kept, methods));
    const seen = new Set<string>();
    await using server = await partsServer(() => {
      for (const key of Object.keys(kept)) seen.add(key);
      return false;
    });
    await createClient({ baseUrl: server.baseUrl, timing }).uploadFile(film());
    const own = JSON.stringify([`${server.baseUrl}/`, 'film.mov', BYTES.length, 7]);
    expect([...seen].toSorted()).toEqual([`export-jobs.upload ${own}`, 'theirs']);
    expect(Object.keys(kept)).toEqual(['theirs']);
  });
});

describe('what is shown of an upload', () => {
  const after = (events: Parameters<typeof nextUploadState>[1][], from: UploadState) =>
    events.reduce(nextUploadState, from);
  const sending: UploadState = { phase: 'uploading', sent: 20, size: 100 };

  it('never goes back, and counts what arrives while it is held', () => {
    expect(after([{ type: 'sent', sent: 10 }], sending)).toEqual(sending);
    expect(after([{ type: 'pause' }, { type: 'sent', sent: 30 }], sending)).toEqual({
      phase: 'paused',
      sent: 30,
      size: 100,
    });
  });

  it('is resuming until more is sent', () => {
    const resuming = after([{ type: 'pause' }, { type: 'resume' }], sending);
    expect(resuming).toEqual({ ...sending, phase: 'resuming' });
    expect(after([{ type: 'sent', sent: 20 }], resuming)).toEqual(resuming);
    expect(after([{ type: 'sent', sent: 21 }], resuming)).toMatchObject({ phase: 'uploading' });
  });

  it('is not held when there is nothing to hold', () => {
    expect(after([{ type: 'pause' }, { type: 'resume' }], { phase: 'idle' })).toEqual({
      phase: 'idle',
    });
    expect(after([{ type: 'resume' }], sending)).toEqual(sending);
  });
});
