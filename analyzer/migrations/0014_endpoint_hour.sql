-- In which minutes of an hour each endpoint had packets, and how many it sent and, by unicast, received: what
-- `top-talkers` needs of every hour of its range. From `traffic_hour` that took a second for a month, of pairs
-- that nobody asked for (figures: ARCHITECTURE, "Questions").
DROP VIEW IF EXISTS endpoint_hour_mv;

DROP TABLE IF EXISTS endpoint_hour;

CREATE TABLE IF NOT EXISTS endpoint_hour
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    hour Int64 CODEC(Delta, ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    mac UInt64 CODEC(ZSTD(1)),
    ip IPv6 CODEC(ZSTD(1)),
    awake_minutes SimpleAggregateFunction(groupBitOr, UInt64) CODEC(ZSTD(1)),
    packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY arrived_on
PRIMARY KEY (intDiv(hour, 86400), mac, ip)
ORDER BY (intDiv(hour, 86400), mac, ip, vlan_id, collector, hour)
SETTINGS non_replicated_deduplication_window = 10000;

-- The group bit of the MAC: broadcast and multicast count for the sender.
INSERT INTO endpoint_hour
SELECT
    arrived_on, collector, hour, vlan_id,
    side.1 AS mac, side.2 AS ip,
    groupBitOr(traffic_hour.awake_minutes) AS awake_minutes,
    sum(side.3) AS packets
FROM traffic_hour
ARRAY JOIN [
    (a_mac, a_ip, a_packets + if(bitAnd(a_mac, 1099511627776) = 0, b_packets, 0)),
    (b_mac, b_ip, b_packets + if(bitAnd(b_mac, 1099511627776) = 0, a_packets, 0))
] AS side
WHERE side.3 > 0
GROUP BY arrived_on, collector, hour, vlan_id, mac, ip;

CREATE MATERIALIZED VIEW IF NOT EXISTS endpoint_hour_mv TO endpoint_hour AS
SELECT
    arrived_on, collector, hour, vlan_id,
    side.1 AS mac, side.2 AS ip,
    groupBitOr(traffic_hour.awake_minutes) AS awake_minutes,
    sum(side.3) AS packets
FROM traffic_hour
ARRAY JOIN [
    (a_mac, a_ip, a_packets + if(bitAnd(a_mac, 1099511627776) = 0, b_packets, 0)),
    (b_mac, b_ip, b_packets + if(bitAnd(b_mac, 1099511627776) = 0, a_packets, 0))
] AS side
WHERE side.3 > 0
GROUP BY arrived_on, collector, hour, vlan_id, mac, ip;
