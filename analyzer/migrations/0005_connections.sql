-- Connections: who opened them, how they went, what was spoken. The collectors
-- report each at its start, each minute while it goes on, and at its end.
--
-- `connection_updates` has a row a report, with what happened since the one
-- before: sums over a stretch of time are read here.
-- Sorting key: the hour, then the ends. Partition and retention as `slices`.
CREATE TABLE IF NOT EXISTS connection_updates
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    epoch UInt64 CODEC(ZSTD(1)),
    number UInt64 CODEC(Delta, ZSTD(1)),
    update UInt32 CODEC(ZSTD(1)),
    started_at_ns Int64 CODEC(Delta, ZSTD(1)),
    last_at_ns Int64 CODEC(Delta, ZSTD(1)),
    -- Empty: open.
    end LowCardinality(String) CODEC(ZSTD(1)),
    orig_ip IPv6 CODEC(ZSTD(1)),
    resp_ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    has_ports UInt8 CODEC(ZSTD(1)),
    orig_port UInt16 CODEC(ZSTD(1)),
    resp_port UInt16 CODEC(ZSTD(1)),
    orig_mac UInt64 CODEC(ZSTD(1)),
    resp_mac UInt64 CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    history LowCardinality(String) CODEC(ZSTD(1)),
    orig_packets UInt64 CODEC(T64, ZSTD(1)),
    resp_packets UInt64 CODEC(T64, ZSTD(1)),
    orig_wire_bytes UInt64 CODEC(T64, ZSTD(1)),
    resp_wire_bytes UInt64 CODEC(T64, ZSTD(1)),
    orig_payload_bytes UInt64 CODEC(T64, ZSTD(1)),
    resp_payload_bytes UInt64 CODEC(T64, ZSTD(1)),
    payload_packets UInt64 CODEC(T64, ZSTD(1)),
    orig_retransmitted UInt64 CODEC(T64, ZSTD(1)),
    resp_retransmitted UInt64 CODEC(T64, ZSTD(1)),
    orig_syns UInt64 CODEC(T64, ZSTD(1)),
    unreachable UInt64 CODEC(T64, ZSTD(1)),
    -- -1: no complete handshake was seen.
    handshake_rtt_ns Int64 CODEC(ZSTD(1)),
    only_syns UInt8 CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    server_name LowCardinality(String) CODEC(ZSTD(1)),
    server_name_source LowCardinality(String) CODEC(ZSTD(1)),
    tls_version UInt16 CODEC(ZSTD(1)),
    tls_cipher UInt16 CODEC(ZSTD(1)),
    alpn LowCardinality(String) CODEC(ZSTD(1)),
    client_id_hash LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY arrived_on
ORDER BY (intDiv(last_at_ns, 3600000000000), orig_ip, resp_ip, protocol, orig_port, resp_port, last_at_ns)
SETTINGS non_replicated_deduplication_window = 10000;

-- One row a connection: sums, and what was known at the newest report.
--
-- Sorting key: the hour it began in, the ends, its number. A question about a
-- range looks for those that began before its end and last past its begin, for
-- which there is an index.
-- Partition and retention: the week of the report; 350 days, as the minutes.
CREATE TABLE IF NOT EXISTS connections
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    epoch UInt64 CODEC(ZSTD(1)),
    number UInt64 CODEC(Delta, ZSTD(1)),
    orig_ip IPv6 CODEC(ZSTD(1)),
    resp_ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    has_ports UInt8 CODEC(ZSTD(1)),
    orig_port UInt16 CODEC(ZSTD(1)),
    resp_port UInt16 CODEC(ZSTD(1)),
    orig_mac UInt64 CODEC(ZSTD(1)),
    resp_mac UInt64 CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    started_at_ns Int64 CODEC(Delta, ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(Delta, ZSTD(1)),
    orig_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    resp_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    orig_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    resp_wire_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    orig_payload_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    resp_payload_bytes SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    payload_packets SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    orig_retransmitted SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    resp_retransmitted SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    orig_syns SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    unreachable SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    -- The newest report's: it has the greatest number.
    latest SimpleAggregateFunction(max, Tuple(
        update UInt32, end String, state String, history String, only_syns UInt8, service String,
        server_name String, server_name_source String, tls_version UInt16, tls_cipher UInt16, alpn String,
        client_id_hash String, handshake_rtt_ns Int64)) CODEC(ZSTD(1)),
    INDEX by_last last_at_ns TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY arrived_on
PRIMARY KEY (intDiv(started_at_ns, 3600000000000), orig_ip, resp_ip)
ORDER BY (intDiv(started_at_ns, 3600000000000), orig_ip, resp_ip, protocol, has_ports, orig_port, resp_port, started_at_ns,
    ip_version, orig_mac, resp_mac, vlan_id, collector, epoch, number)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS connections_mv TO connections AS
SELECT
    toMonday(arrived_on) AS arrived_on,
    collector, epoch, number,
    orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port, orig_mac, resp_mac, vlan_id, started_at_ns,
    max(connection_updates.last_at_ns) AS last_at_ns,
    sum(connection_updates.orig_packets) AS orig_packets,
    sum(connection_updates.resp_packets) AS resp_packets,
    sum(connection_updates.orig_wire_bytes) AS orig_wire_bytes,
    sum(connection_updates.resp_wire_bytes) AS resp_wire_bytes,
    sum(connection_updates.orig_payload_bytes) AS orig_payload_bytes,
    sum(connection_updates.resp_payload_bytes) AS resp_payload_bytes,
    sum(connection_updates.payload_packets) AS payload_packets,
    sum(connection_updates.orig_retransmitted) AS orig_retransmitted,
    sum(connection_updates.resp_retransmitted) AS resp_retransmitted,
    sum(connection_updates.orig_syns) AS orig_syns,
    sum(connection_updates.unreachable) AS unreachable,
    max((update, toString(end), toString(state), toString(history), only_syns, toString(service),
        toString(server_name), toString(server_name_source), tls_version, tls_cipher, toString(alpn),
        toString(client_id_hash), handshake_rtt_ns)) AS latest
FROM connection_updates
GROUP BY arrived_on, collector, epoch, number, orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port,
    orig_mac, resp_mac, vlan_id, started_at_ns;
