import { ExportApiError, type JobStatus } from '@export-jobs/client';
import type { ExportHistory } from '@export-jobs/client/react';
import { useEffect, useId, useState } from 'react';
import { setAccessKey } from '../lib/access.ts';
import { sentence } from '../lib/format.ts';
import { goTo } from '../lib/route.ts';
import { useNow } from '../lib/use-now.ts';
import { HistoryRow } from './history-row.tsx';
import { Segments, type Choice } from './fields.tsx';

export type Filter = 'all' | JobStatus;

const FILTERS: readonly Choice<Filter>[] = [
  { value: 'all', name: 'All' },
  { value: 'pending', name: 'Waiting' },
  { value: 'processing', name: 'Running' },
  { value: 'complete', name: 'Done' },
  { value: 'error', name: 'Failed' },
  { value: 'cancelled', name: 'Cancelled' },
];

export function History(props: {
  list: ExportHistory;
  filter: Filter;
  onFilter: (filter: Filter) => void;
  current: string | null;
}) {
  const { list, filter, current } = props;
  useFreshLinks(list.refresh);
  return (
    <section className="history" id="history" tabIndex={-1} aria-labelledby="history-title">
      <header>
        <h2 id="history-title">Your exports</h2>
        <Segments label="Show" value={filter} choices={FILTERS} onChange={props.onFilter} />
      </header>
      {list.error !== null && <ListError error={list.error} onRetry={list.refresh} />}
      {list.loaded && list.jobs.length === 0 && (
        <p className="nothing">
          {filter === 'all' ? 'Nothing yet. Your exports will be kept here.' : 'None of this kind.'}
        </p>
      )}
      {list.error === null && list.feedError !== null && (
        <p className="not-live" data-testid="not-live">
          This list does not update by itself: {sentence(list.feedError.message)}
        </p>
      )}
      <Rows list={list} current={current} />
      {list.cursor !== null && (
        <button
          type="button"
          className="secondary more"
          disabled={list.loading}
          onClick={list.loadMore}
        >
          {list.loading ? 'Loading…' : 'Load more'}
        </button>
      )}
    </section>
  );
}

function Rows({ list, current }: { list: ExportHistory; current: string | null }) {
  const now = useNow(20_000);
  const afterDelete = (id: string) => {
    // The button that had the focus is gone with its row.
    document.getElementById('history')?.focus();
    if (id === current) goTo(null);
    list.refresh();
  };
  return (
    <ul className="rows" aria-busy={list.loading}>
      {list.jobs.map((job) => (
        <HistoryRow
          key={job.id}
          job={job}
          current={job.id === current}
          now={now}
          onDeleted={() => afterDelete(job.id)}
        />
      ))}
    </ul>
  );
}

/** Reads the list again when someone returns to the page: the links in it last for a while only. */
function useFreshLinks(refresh: () => void) {
  useEffect(() => {
    const renew = () => {
      if (document.visibilityState === 'visible') refresh();
    };
    document.addEventListener('visibilitychange', renew);
    return () => document.removeEventListener('visibilitychange', renew);
  }, [refresh]);
}

function ListError({ error, onRetry }: { error: Error; onRetry: () => void }) {
  if (error instanceof ExportApiError && error.status === 401) return <AskForKey />;
  return (
    <p role="alert" className="alert">
      The list could not be read. {error.message}{' '}
      <button type="button" className="quiet" onClick={onRetry}>
        Try again
      </button>
    </p>
  );
}

function AskForKey() {
  const id = useId();
  const [key, setKey] = useState('');
  return (
    <form
      className="ask-key"
      onSubmit={(event) => {
        event.preventDefault();
        setAccessKey(key.trim());
        // Everything on the page was refused, not the list alone: start over with the key.
        location.reload();
      }}
    >
      <label htmlFor={id}>This server asks for an access key. It is kept for this tab only.</label>
      <input
        id={id}
        type="password"
        autoComplete="off"
        required
        value={key}
        onChange={(event) => setKey(event.target.value)}
      />
      <button type="submit" className="primary">
        Continue
      </button>
    </form>
  );
}
