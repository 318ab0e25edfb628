-- When the sweeper looks at a job that has ended, should its alarm be lost; null before the end, and
-- once the object is gone.
ALTER TABLE export_jobs ADD COLUMN look_at INTEGER;
CREATE INDEX export_jobs_ended ON export_jobs (look_at) WHERE look_at IS NOT NULL;
-- With the usual retention; a look too early finds nothing to do.
UPDATE export_jobs SET look_at = completed_at + 604800000 WHERE completed_at IS NOT NULL;
