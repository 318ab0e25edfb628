-- Files that go up by parts, so that the parts of those that are never finished can be thrown away. R2 does
-- it too, after a week.
CREATE TABLE export_multiparts (
  -- R2's name of the multipart upload.
  id TEXT PRIMARY KEY,
  key TEXT NOT NULL,
  -- Epoch ms: after this no part is taken.
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX export_multiparts_by_expiry ON export_multiparts (expires_at);
