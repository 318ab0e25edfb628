-- A change of status costs one index row instead of two, and progress none: D1 is written when the
-- status or the attempt changes. One index serves lists by status and finds the jobs that have not ended.
DROP INDEX export_jobs_live;
DROP INDEX export_jobs_by_status;
CREATE INDEX export_jobs_by_status ON export_jobs (status, tenant, created_at DESC, id DESC);
-- Ended jobs that still owe something: almost none, so almost no job pays for this.
DROP INDEX export_jobs_ended;
CREATE INDEX export_jobs_owing ON export_jobs (look_at)
  WHERE completed_at IS NOT NULL AND look_at IS NOT NULL;
-- When the sweeper looks at a job should its alarm be lost; until now null before the end.
UPDATE export_jobs SET look_at = updated_at WHERE completed_at IS NULL;
-- What its renderers and the platform cost, dollars.
ALTER TABLE export_jobs ADD COLUMN cost_usd REAL;
-- When D1 was told, by its own clock, epoch ms: that may be long after it happened.
ALTER TABLE export_jobs ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;
-- Of a job that has ended every change, as its object kept them (`job/log.ts`).
ALTER TABLE export_jobs ADD COLUMN log TEXT;
-- Newest first by tag. One row for each tag of a job, and none for a job without.
CREATE TABLE export_job_tags (
  tenant TEXT NOT NULL,
  tag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (tenant, tag, created_at DESC, id DESC)
) WITHOUT ROWID;
