-- A mirror of every job, for lists and for answers after the object is gone. The object is the
-- authority: rows are written by its outbox, and only with a newer rev. Times in epoch ms.
CREATE TABLE export_jobs (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  rev INTEGER NOT NULL,
  status TEXT NOT NULL,
  progress REAL NOT NULL,
  error TEXT,
  retry_count INTEGER NOT NULL DEFAULT 0,
  output_video_key TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  completed_at INTEGER,
  deadline_at INTEGER NOT NULL,
  -- The hash of the create request and, until the object holds it, the request itself.
  request_hash TEXT NOT NULL,
  request TEXT,
  -- The job as anyone may see it, JSON; null until the object wrote it (rev 0).
  view TEXT
) WITHOUT ROWID;

-- Newest first, by keyset. Neither column ever changes, so progress writes no index row.
CREATE INDEX export_jobs_by_tenant ON export_jobs (tenant, created_at DESC, id DESC);

-- For the sweeper: only jobs that have not ended are in it.
CREATE INDEX export_jobs_unfinished ON export_jobs (deadline_at) WHERE completed_at IS NULL;
