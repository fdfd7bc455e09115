-- One row a batch, written last: a batch that is here is stored completely.
--
-- Sorting key: the batch id, by which a resent batch is looked up.
-- Partition and retention: the month it was sealed in; two years, as long as the
-- hourly roll-up, whose completeness it tells.
CREATE TABLE IF NOT EXISTS batches
(
    collector LowCardinality(String) CODEC(ZSTD(1)),
    epoch UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    sealed_at_ns Int64 CODEC(Delta, ZSTD(1)),
    arrived_on Date CODEC(ZSTD(1)),
    -- Packet time reported on, half-open; both 0: none.
    covered_from_at_ns Int64 CODEC(Delta, ZSTD(1)),
    covered_until_at_ns Int64 CODEC(Delta, ZSTD(1)),
    frames UInt64 CODEC(T64, ZSTD(1)),
    packets UInt64 CODEC(T64, ZSTD(1)),
    no_ip UInt64 CODEC(T64, ZSTD(1)),
    undecoded Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    lost Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    clamped_times UInt64 CODEC(T64, ZSTD(1)),
    source_name String CODEC(ZSTD(1)),
    source_fingerprint String CODEC(ZSTD(1)),
    INDEX by_fingerprint source_fingerprint TYPE bloom_filter GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toStartOfMonth(arrived_on)
ORDER BY (collector, epoch, seq)
SETTINGS non_replicated_deduplication_window = 10000;

-- Frames without an IP header, by what they carry and who sent them.
--
-- Sorting key: the kind. Partition and retention as `batches`.
CREATE TABLE IF NOT EXISTS no_ip
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    -- Namespace << 16 | code; 0x0806 is ARP. See `LinkProtocol` in iotq-proto.
    link_protocol UInt32 CODEC(ZSTD(1)),
    mac UInt64 CODEC(ZSTD(1)),
    hour Int64 CODEC(Delta, ZSTD(1)),
    frames SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfMonth(arrived_on)
ORDER BY (collector, link_protocol, mac, hour)
SETTINGS non_replicated_deduplication_window = 10000;
