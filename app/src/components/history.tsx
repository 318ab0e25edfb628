import { ExportApiError, type JobStatus } from '@export-jobs/client';
import type { ExportList } from '@export-jobs/client/react';
import { useEffect, useId, useState } from 'react';
import { setAccessKey } from '../lib/access.ts';
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

/** Sockets that the list may hold at a time. */
const LIVE_ROWS = 6;
/** How often running rows beyond those are read again, ms. */
const RENEW_MS = 10_000;

export function History(props: {
  list: ExportList;
  filter: Filter;
  onFilter: (filter: Filter) => void;
  current: string | null;
}) {
  const { list, filter, current } = props;
  const now = useNow(20_000);
  const running = list.jobs.filter(({ status }) => status === 'pending' || status === 'processing');
  const live = new Set(running.slice(0, LIVE_ROWS).map(({ id }) => id));
  useRenewal(list.refresh, running.length > LIVE_ROWS);
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
      <ul className="rows" aria-busy={list.loading}>
        {list.jobs.map((job) => (
          <HistoryRow
            key={job.id}
            job={job}
            live={live.has(job.id)}
            current={job.id === current}
            now={now}
            onEnded={list.refresh}
          />
        ))}
      </ul>
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

/** Reads the list again when someone returns to the page, and at times while `often` is needed. */
function useRenewal(refresh: () => void, often: boolean) {
  useEffect(() => {
    const renew = () => {
      if (document.visibilityState === 'visible') refresh();
    };
    document.addEventListener('visibilitychange', renew);
    const timer = often ? setInterval(renew, RENEW_MS) : undefined;
    return () => {
      document.removeEventListener('visibilitychange', renew);
      clearInterval(timer);
    };
  }, [refresh, often]);
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
