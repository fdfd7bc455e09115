-- Fewer octets on disk, with the same values in the same columns (figures: ARCHITECTURE,
-- "The store").
--
-- Times: captures of a resolution of microseconds have nanoseconds that are all multiples of
-- 1000, which GCD divides out; what is left T64 cuts to the bits it has. In times that are
-- sorted within what lies before them in the key, Delta takes out what they have in common.
--
-- Lengths: what a packet has beside its payload, headers and padding, is one of few numbers,
-- so that it and `wire_bytes` need half of what `payload_bytes` and `wire_bytes` need.
-- New parts are written so; older ones as they are merged.
ALTER TABLE slices
    ADD COLUMN IF NOT EXISTS overhead_bytes Array(UInt32) CODEC(ZSTD(1)) AFTER wire_bytes,
    MODIFY COLUMN IF EXISTS offset_ns CODEC(GCD, Delta, T64, ZSTD(1));

-- Parts of before get the new column; whoever comes here again has no such rows.
ALTER TABLE slices
    UPDATE overhead_bytes = arrayMap((wire, payload) -> toUInt32(wire - payload), wire_bytes, payload_bytes)
    WHERE length(overhead_bytes) != length(wire_bytes)
    SETTINGS mutations_sync = 2;

ALTER TABLE traffic_minute
    MODIFY COLUMN IF EXISTS first_at_ns CODEC(GCD, Delta, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, Delta, T64, ZSTD(1));

ALTER TABLE traffic_hour
    MODIFY COLUMN IF EXISTS first_at_ns CODEC(GCD, Delta, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, Delta, T64, ZSTD(1));

ALTER TABLE traffic_day
    MODIFY COLUMN IF EXISTS first_at_ns CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, T64, ZSTD(1));

ALTER TABLE connection_updates
    MODIFY COLUMN IF EXISTS number CODEC(T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS started_at_ns CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, T64, ZSTD(1));

ALTER TABLE connections
    MODIFY COLUMN IF EXISTS number CODEC(T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS started_at_ns CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, T64, ZSTD(1));

ALTER TABLE dns
    MODIFY COLUMN IF EXISTS asked_at_ns CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS answered_at_ns CODEC(GCD, T64, ZSTD(1));

ALTER TABLE tls_hellos
    MODIFY COLUMN IF EXISTS seen_at_ns CODEC(GCD, T64, ZSTD(1));

ALTER TABLE time_requests
    MODIFY COLUMN IF EXISTS requested_at_ns CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS replied_at_ns CODEC(GCD, T64, ZSTD(1));

ALTER TABLE peer_names
    MODIFY COLUMN IF EXISTS first_at_ns CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, T64, ZSTD(1));
