-- A tenant's jobs of one status, newest first. Two, because an ended job is never written again: it is
-- in the second once, and only the few that have not ended pay for each change, as before.
CREATE INDEX export_jobs_live ON export_jobs (tenant, status, created_at DESC, id DESC)
  WHERE completed_at IS NULL;
CREATE INDEX export_jobs_by_status ON export_jobs (tenant, status, created_at DESC, id DESC)
  WHERE completed_at IS NOT NULL;
-- What it served, finding the jobs that have not ended, the first of the new ones does.
DROP INDEX export_jobs_unfinished;
