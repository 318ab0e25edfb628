-- Deleted jobs whose row is to be forgotten, by when (`deadline_at`). No other job has an entry.
CREATE INDEX export_jobs_deleted ON export_jobs (deadline_at) WHERE status = 'deleted';
