-- When the sweeper looks at a job that has ended, should its alarm be lost; null before the end, and
-- once the object is gone.
ALTER TABLE export_jobs ADD COLUMN look_at INTEGER;
CREATE INDEX export_jobs_ended ON export_jobs (look_at) WHERE look_at IS NOT NULL;
