-- What devices showed of themselves beside their packets: addresses by ARP and
-- NDP, prefixes by Router Advertisements, that they ask a DHCP server.
--
-- Sorting key: kind and MAC. No partitions and no retention: its size is that of
-- the house, not of time, and device identity rests on it.
CREATE TABLE IF NOT EXISTS sightings
(
    kind LowCardinality(String) CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    mac UInt64 CODEC(ZSTD(1)),
    -- `::` for none.
    ip IPv6 CODEC(ZSTD(1)),
    prefix_len UInt8 CODEC(ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    first_at_ns SimpleAggregateFunction(min, Int64) CODEC(ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (kind, mac, ip, prefix_len, vlan_id, collector)
SETTINGS non_replicated_deduplication_window = 10000;
