-- How fast exports of one kind were on some hardware, for the time left of the next ones: of the logarithms of
-- milliseconds per unit of work the mean and the deviation. A few rows, written once an hour by the sweep.
CREATE TABLE export_speeds (
  -- A codec, or a codec and a size.
  kind TEXT NOT NULL,
  hardware TEXT NOT NULL,
  unit TEXT NOT NULL,
  samples INTEGER NOT NULL,
  mean REAL NOT NULL,
  deviation REAL NOT NULL,
  measured_at INTEGER NOT NULL,
  PRIMARY KEY (kind, hardware, unit)
) WITHOUT ROWID;
