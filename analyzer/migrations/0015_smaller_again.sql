-- Fewer octets on disk, with the same values in the same columns (figures: ARCHITECTURE, "The store").
--
-- Times whose neighbours are near: T64('bit') keeps bits of one weight together, and the upper ones, which
-- Delta left alike, go away. Lengths, flags and directions repeat over longer stretches than ZSTD(1) looks for;
-- directions are one bit each before that. New parts are written so; older ones as they are merged.
ALTER TABLE slices
    MODIFY COLUMN IF EXISTS a_packets CODEC(T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS b_packets CODEC(T64, ZSTD(1)),
    MODIFY COLUMN IF EXISTS offset_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN IF EXISTS wire_bytes CODEC(T64, ZSTD(3)),
    MODIFY COLUMN IF EXISTS overhead_bytes CODEC(ZSTD(3)),
    MODIFY COLUMN IF EXISTS tcp_flags CODEC(ZSTD(3)),
    MODIFY COLUMN IF EXISTS from_a CODEC(T64('bit'), ZSTD(3));

ALTER TABLE traffic_minute
    MODIFY COLUMN IF EXISTS first_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1));

ALTER TABLE traffic_hour
    MODIFY COLUMN IF EXISTS first_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1));

ALTER TABLE connections
    MODIFY COLUMN IF EXISTS started_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN IF EXISTS last_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1));

ALTER TABLE dns
    MODIFY COLUMN IF EXISTS asked_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN IF EXISTS answered_at_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1));
