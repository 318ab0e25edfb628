CREATE TABLE export_jobs (
  id TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  progress REAL,
  error TEXT,
  retry_count INTEGER NOT NULL DEFAULT 0,
  output_video_key TEXT,
  started_at TEXT,
  completed_at TEXT
);
