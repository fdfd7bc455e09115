-- DNS, mDNS and LLMNR: a row a question, with its answer if one was seen. Rows of
-- answers whose question was not seen have `question_seen` 0.
--
-- Sorting key: the hour, then who asked. Partition: the week a batch was sealed.
-- Retention: 350 days, as the minutes of traffic.
CREATE TABLE IF NOT EXISTS dns
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    question_seen UInt8 CODEC(ZSTD(1)),
    asked_at_ns Int64 CODEC(Delta, ZSTD(1)),
    answered_at_ns Nullable(Int64) CODEC(ZSTD(1)),
    client_ip IPv6 CODEC(ZSTD(1)),
    server_ip IPv6 CODEC(ZSTD(1)),
    client_port UInt16 CODEC(ZSTD(1)),
    server_port UInt16 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    client_mac UInt64 CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    qname String CODEC(ZSTD(1)),
    qtype UInt16 CODEC(ZSTD(1)),
    rcode Nullable(UInt16) CODEC(ZSTD(1)),
    answer_names Array(String) CODEC(ZSTD(1)),
    answer_types Array(UInt16) CODEC(ZSTD(1)),
    answer_ttl_secs Array(UInt32) CODEC(ZSTD(1)),
    answer_data Array(String) CODEC(ZSTD(1)),
    -- The addresses among the answers.
    answer_ips Array(IPv6) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY arrived_on
ORDER BY (intDiv(asked_at_ns, 3600000000000), client_ip, qname, asked_at_ns)
SETTINGS non_replicated_deduplication_window = 10000;

-- ClientHellos of TLS, QUIC and DTLS. Sorting key, partition, retention as `dns`.
CREATE TABLE IF NOT EXISTS tls_hellos
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    seen_at_ns Int64 CODEC(Delta, ZSTD(1)),
    client_ip IPv6 CODEC(ZSTD(1)),
    server_ip IPv6 CODEC(ZSTD(1)),
    client_port UInt16 CODEC(ZSTD(1)),
    server_port UInt16 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    client_mac UInt64 CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    transport LowCardinality(String) CODEC(ZSTD(1)),
    -- Code point, 0x0303 is TLS 1.2.
    version UInt16 CODEC(ZSTD(1)),
    sni String CODEC(ZSTD(1)),
    alpn Array(String) CODEC(ZSTD(1)),
    ja4 LowCardinality(String) CODEC(ZSTD(1)),
    ech UInt8 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY arrived_on
ORDER BY (intDiv(seen_at_ns, 3600000000000), client_ip, server_ip, seen_at_ns)
SETTINGS non_replicated_deduplication_window = 10000;

-- NTP requests. Sorting key, partition, retention as `dns`.
CREATE TABLE IF NOT EXISTS time_requests
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    requested_at_ns Int64 CODEC(Delta, ZSTD(1)),
    replied_at_ns Nullable(Int64) CODEC(ZSTD(1)),
    client_ip IPv6 CODEC(ZSTD(1)),
    server_ip IPv6 CODEC(ZSTD(1)),
    client_port UInt16 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    client_mac UInt64 CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    version UInt8 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY arrived_on
ORDER BY (intDiv(requested_at_ns, 3600000000000), client_ip, server_ip, requested_at_ns)
SETTINGS non_replicated_deduplication_window = 10000;

-- Under which names which clients reached which addresses: `sni`, `quic_sni` and
-- `http_host` by what they said on a connection, `dns` by what they were told,
-- `mdns` by what the address said of itself.
--
-- Sorting key: the address, because the question is what it is called.
-- Partition and retention: the year, ten of them, as the days of traffic, which
-- "first seen" is read from. Its size is that of what the house talks to.
CREATE TABLE IF NOT EXISTS peer_names
(
    arrived_on Date CODEC(ZSTD(1)),
    ip IPv6 CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    source LowCardinality(String) CODEC(ZSTD(1)),
    client_mac UInt64 CODEC(ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    client_ip IPv6 CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    first_at_ns SimpleAggregateFunction(min, Int64) CODEC(ZSTD(1)),
    last_at_ns SimpleAggregateFunction(max, Int64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY arrived_on
ORDER BY (ip, name, source, client_mac, vlan_id, client_ip, collector)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS peer_names_of_dns_mv TO peer_names AS
SELECT
    toStartOfYear(arrived_on) AS arrived_on, answer_ip AS ip, qname AS name, kind AS source,
    client_mac, vlan_id, client_ip, collector,
    min(asked_at_ns) AS first_at_ns, max(asked_at_ns) AS last_at_ns
FROM dns
ARRAY JOIN answer_ips AS answer_ip
WHERE qname != '.' AND kind IN ('dns', 'llmnr')
GROUP BY arrived_on, ip, name, source, client_mac, vlan_id, client_ip, collector;

CREATE MATERIALIZED VIEW IF NOT EXISTS peer_names_of_connections_mv TO peer_names AS
SELECT
    toStartOfYear(arrived_on) AS arrived_on, resp_ip AS ip, server_name AS name, server_name_source AS source,
    orig_mac AS client_mac, vlan_id, orig_ip AS client_ip, collector,
    min(started_at_ns) AS first_at_ns, max(connection_updates.last_at_ns) AS last_at_ns
FROM connection_updates
WHERE server_name != ''
GROUP BY arrived_on, ip, name, source, client_mac, vlan_id, client_ip, collector;

-- What devices say of themselves: host names, classes, services.
ALTER TABLE sightings
    ADD COLUMN IF NOT EXISTS text String CODEC(ZSTD(1)),
    MODIFY ORDER BY (kind, mac, ip, prefix_len, vlan_id, collector, text);

-- Names that were given to devices: by the user, and by files of DHCP servers. A
-- row replaces the one before of the same device and source.
--
-- Sorting key: the device's id, its MAC or address. No partitions, no retention.
CREATE TABLE IF NOT EXISTS given_names
(
    device String CODEC(ZSTD(1)),
    -- `user`, `lease`.
    source LowCardinality(String) CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    groups Array(String) CODEC(ZSTD(1)),
    set_at_ns Int64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(set_at_ns)
ORDER BY (device, source)
SETTINGS non_replicated_deduplication_window = 1000;
