import { createElement, StrictMode } from 'react';
import { renderToString } from 'react-dom/server';
import { describe, expect, it } from 'vitest';
import { complete, running } from '../test/jobs.ts';
import { createClient } from './client.ts';
import { nextCreateState } from './create-state.ts';
import { listReducer, NO_LIST } from './list-state.ts';
import { ExportsProvider, useExportJob } from './react.ts';
import { sharedWatch } from './shared.ts';

describe('shared watches', () => {
  it('gives all who watch one job the same watch, per client', () => {
    const client = createClient({ baseUrl: 'http://127.0.0.1' });
    const one = sharedWatch(client, 'a', running(1, 1));
    expect(sharedWatch(client, 'a', undefined)).toBe(one);
    expect(sharedWatch(client, 'b', undefined)).not.toBe(one);
    expect(sharedWatch(createClient(), 'a', undefined)).not.toBe(one);
  });
});

describe('the list', () => {
  it('renews its first page, keeps older pages and repeats nothing', () => {
    const job = (id: string, created_at: number) => ({ ...complete(1), id, created_at });
    let list = listReducer(NO_LIST, {
      type: 'first',
      page: { data: [job('c', 3), job('b', 2)], next_cursor: 'b' },
    });
    list = listReducer(list, { type: 'more', page: { data: [job('a', 1)], next_cursor: null } });
    list = listReducer(list, {
      type: 'first',
      page: { data: [job('d', 4), job('c', 3)], next_cursor: 'c' },
    });
    expect(list.jobs.map(({ id }) => id)).toEqual(['d', 'c', 'b', 'a']);
    expect(list.cursor).toBeNull();
  });
});

describe('creating', () => {
  it('keeps the upload when the job is refused, so that it need not be sent again', () => {
    let state = nextCreateState({ phase: 'idle' }, { type: 'start', size: 10 });
    state = nextCreateState(state, { type: 'sent', sent: 6 });
    state = nextCreateState(state, { type: 'sent', sent: 2 });
    expect(state).toEqual({ phase: 'uploading', sent: 6, size: 10 });
    state = nextCreateState(state, { type: 'uploaded', upload_id: 'upl_1' });
    state = nextCreateState(state, { type: 'failed', error: new Error('no') });
    expect(state).toMatchObject({ phase: 'failed', upload_id: 'upl_1' });
  });
});

describe('server rendering', () => {
  it('shows the initial job and dials nothing', () => {
    const client = createClient();
    function Progress() {
      const { job, connection } = useExportJob('job-1', { initial: running(3, 42) });
      return createElement('p', null, `${job?.progress} ${connection}`);
    }
    const page = createElement(ExportsProvider, { client }, createElement(Progress));
    expect(renderToString(createElement(StrictMode, null, page))).toBe('<p>42 idle</p>');
  });
});
