-- Keys of owners. Of a key only its SHA-256 is kept: it has 256 random bits, so there is nothing to guess.
CREATE TABLE export_api_keys (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  hash TEXT NOT NULL,
  -- JSON: the names of what it may do.
  rights TEXT NOT NULL,
  plan TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  -- To the hour: one write an hour at most.
  last_used_at INTEGER,
  revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX export_api_keys_by_tenant ON export_api_keys (tenant, created_at DESC, id);
