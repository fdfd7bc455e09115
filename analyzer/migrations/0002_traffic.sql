-- Roll-ups of the slices: packets and octets a pair of endpoints (MAC and
-- address on both sides) a minute, an hour and a day. Devices are not in them:
-- which MAC is a router's is learned late, and names change; both are applied
-- when a question is asked.
--
-- Each is fed by the one before, within the same insert, so that an insert that
-- is repeated with its token changes none of them (checked with 26.7).
--
-- Sorting key: a day's worth of time, then the pair, then the time.
-- Partition and retention: weeks for a year (minutes), months for two years
-- (hours), years for ten (days); never more than some 50 partitions.
CREATE TABLE IF NOT EXISTS traffic_minute
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    minute Int64 CODEC(Delta, ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    a_mac UInt64 CODEC(ZSTD(1)),
    b_mac UInt64 CODEC(ZSTD(1)),
    a_ip IPv6 CODEC(ZSTD(1)),
    b_ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    a_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    b_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    a_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    b_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_at_ns SimpleAggregateFunction(min, Int64) CODEC(Delta, ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY arrived_on
PRIMARY KEY (intDiv(minute, 86400), a_ip, b_ip)
ORDER BY (intDiv(minute, 86400), a_ip, b_ip, a_mac, b_mac, vlan_id, ip_version, collector, minute)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_minute_mv TO traffic_minute AS
SELECT
    toMonday(arrived_on) AS arrived_on,
    collector,
    second - positiveModulo(second, 60) AS minute,
    vlan_id,
    a_mac,
    b_mac,
    a_ip,
    b_ip,
    ip_version,
    sum(toUInt64(slices.a_packets)) AS a_packets,
    sum(toUInt64(slices.b_packets)) AS b_packets,
    sum(slices.a_wire_bytes) AS a_wire_bytes,
    sum(slices.b_wire_bytes) AS b_wire_bytes,
    min(second * 1000000000 + arrayMin(offset_ns)) AS first_at_ns,
    max(second * 1000000000 + arrayMax(offset_ns)) AS last_at_ns
FROM slices
GROUP BY arrived_on, collector, minute, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version;

-- `awake_minutes`: bit n is set if the pair had a packet in minute n of the hour.
CREATE TABLE IF NOT EXISTS traffic_hour
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    hour Int64 CODEC(Delta, ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    a_mac UInt64 CODEC(ZSTD(1)),
    b_mac UInt64 CODEC(ZSTD(1)),
    a_ip IPv6 CODEC(ZSTD(1)),
    b_ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    awake_minutes SimpleAggregateFunction(groupBitOr, UInt64) CODEC(ZSTD(1)),
    a_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    b_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    a_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    b_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_at_ns SimpleAggregateFunction(min, Int64) CODEC(Delta, ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY arrived_on
PRIMARY KEY (intDiv(hour, 86400), a_ip, b_ip)
ORDER BY (intDiv(hour, 86400), a_ip, b_ip, a_mac, b_mac, vlan_id, ip_version, collector, hour)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_hour_mv TO traffic_hour AS
SELECT
    toStartOfMonth(arrived_on) AS arrived_on,
    collector,
    minute - positiveModulo(minute, 3600) AS hour,
    vlan_id,
    a_mac,
    b_mac,
    a_ip,
    b_ip,
    ip_version,
    groupBitOr(bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(minute, 3600), 60)))) AS awake_minutes,
    sum(traffic_minute.a_packets) AS a_packets,
    sum(traffic_minute.b_packets) AS b_packets,
    sum(traffic_minute.a_wire_bytes) AS a_wire_bytes,
    sum(traffic_minute.b_wire_bytes) AS b_wire_bytes,
    min(traffic_minute.first_at_ns) AS first_at_ns,
    max(traffic_minute.last_at_ns) AS last_at_ns
FROM traffic_minute
GROUP BY arrived_on, collector, hour, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version;

CREATE TABLE IF NOT EXISTS traffic_day
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    day Int64 CODEC(Delta, ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    a_mac UInt64 CODEC(ZSTD(1)),
    b_mac UInt64 CODEC(ZSTD(1)),
    a_ip IPv6 CODEC(ZSTD(1)),
    b_ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    a_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    b_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    a_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    b_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    first_at_ns SimpleAggregateFunction(min, Int64) CODEC(Delta, ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY arrived_on
PRIMARY KEY (a_ip, b_ip)
ORDER BY (a_ip, b_ip, a_mac, b_mac, vlan_id, ip_version, collector, day)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_day_mv TO traffic_day AS
SELECT
    toStartOfYear(arrived_on) AS arrived_on,
    collector,
    hour - positiveModulo(hour, 86400) AS day,
    vlan_id,
    a_mac,
    b_mac,
    a_ip,
    b_ip,
    ip_version,
    sum(traffic_hour.a_packets) AS a_packets,
    sum(traffic_hour.b_packets) AS b_packets,
    sum(traffic_hour.a_wire_bytes) AS a_wire_bytes,
    sum(traffic_hour.b_wire_bytes) AS b_wire_bytes,
    min(traffic_hour.first_at_ns) AS first_at_ns,
    max(traffic_hour.last_at_ns) AS last_at_ns
FROM traffic_hour
GROUP BY arrived_on, collector, day, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version;

-- Every address seen at a MAC, from the first packet on: what tells routers from
-- devices, and what "first seen" is read from when the packets are long gone.
--
-- Sorting key: the MAC, because all questions to it are about MACs.
-- No partitions and no retention: its size is that of the house, not of time.
CREATE TABLE IF NOT EXISTS endpoints
(
    collector LowCardinality(String) CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    mac UInt64 CODEC(ZSTD(1)),
    ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    sent_packets SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    received_packets SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    first_at_ns SimpleAggregateFunction(min, Int64) CODEC(ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (mac, ip, vlan_id, ip_version, collector)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS endpoints_mv TO endpoints AS
SELECT
    collector,
    vlan_id,
    side.1 AS mac,
    side.2 AS ip,
    ip_version,
    sum(side.3) AS sent_packets,
    sum(side.4) AS received_packets,
    min(traffic_day.first_at_ns) AS first_at_ns,
    max(traffic_day.last_at_ns) AS last_at_ns
FROM traffic_day
ARRAY JOIN [(a_mac, a_ip, a_packets, b_packets), (b_mac, b_ip, b_packets, a_packets)] AS side
GROUP BY collector, vlan_id, mac, ip, ip_version;
