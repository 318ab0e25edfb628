-- How many bytes each owner has announced in each hour, for the limit of a day. The hour comes first, so that the
-- sweep finds the old ones; an owner's last 25 are as many look-ups.
CREATE TABLE export_upload_bytes (
  -- Hours since the epoch.
  hour INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (hour, tenant)
) WITHOUT ROWID;
