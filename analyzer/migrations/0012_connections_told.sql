-- `connections` is told by the analyzer, a row a connection and batch. Nothing but the view behind it
-- read the reports in `connection_updates`, which took as long to insert as what is made of them.
-- What happened when is in `slices`.
DROP VIEW IF EXISTS connections_mv;

DROP TABLE IF EXISTS connection_updates;

-- How many reports the row sums: one less than `latest.update` + 1 for each that is missing. 0 in rows of before.
ALTER TABLE connections
    ADD COLUMN IF NOT EXISTS updates SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)) AFTER unreachable;
