-- Flow slices: the packets of one flow within one clock second, a row a slice,
-- an array element a packet.
--
-- Sorting key: an hour, then the flow. A question reads few hours; within one,
-- the rows of a flow lie together, so that MACs, addresses and ports compress to
-- almost nothing. `second` is an Int64, not a DateTime: captures hold years from
-- 1900 to 2262, and the functions on DateTime wrap at 2106.
-- Partition: the day a batch was sealed (or the week, where packets are kept for
-- more than 50 days), so that retention counts from arrival and drops whole
-- partitions. The value is fixed in the batch: a repeated insert meets the same
-- partition, where its deduplication token is remembered.
-- Retention: --retention-days.
CREATE TABLE IF NOT EXISTS slices
(
    arrived_on Date CODEC(ZSTD(1)),
    collector LowCardinality(String) CODEC(ZSTD(1)),
    epoch UInt64 CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    second Int64 CODEC(Delta, ZSTD(1)),
    vlan_id UInt16 CODEC(ZSTD(1)),
    a_mac UInt64 CODEC(ZSTD(1)),
    b_mac UInt64 CODEC(ZSTD(1)),
    a_ip IPv6 CODEC(ZSTD(1)),
    b_ip IPv6 CODEC(ZSTD(1)),
    ip_version UInt8 CODEC(ZSTD(1)),
    protocol UInt8 CODEC(ZSTD(1)),
    has_ports UInt8 CODEC(ZSTD(1)),
    a_port UInt16 CODEC(ZSTD(1)),
    b_port UInt16 CODEC(ZSTD(1)),
    a_packets UInt32 CODEC(ZSTD(1)),
    b_packets UInt32 CODEC(ZSTD(1)),
    a_wire_bytes UInt64 CODEC(T64, ZSTD(1)),
    b_wire_bytes UInt64 CODEC(T64, ZSTD(1)),
    offset_ns Array(UInt32) CODEC(ZSTD(1)),
    wire_bytes Array(UInt32) CODEC(T64, ZSTD(1)),
    payload_bytes Array(UInt32) CODEC(T64, ZSTD(1)),
    tcp_flags Array(UInt16) CODEC(ZSTD(1)),
    from_a Array(UInt8) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY arrived_on
ORDER BY (intDiv(second, 3600), a_ip, b_ip, protocol, a_port, b_port, second)
SETTINGS non_replicated_deduplication_window = 10000;

-- One row a packet, for people who know SQL.
CREATE VIEW IF NOT EXISTS packets AS
SELECT
    fromUnixTimestamp64Nano(second * 1000000000 + packet_offset_ns, 'UTC') AS captured_at,
    collector,
    if(ip_version = 4, IPv4NumToString(toIPv4(if(packet_from_a = 1, a_ip, b_ip))), IPv6NumToString(if(packet_from_a = 1, a_ip, b_ip))) AS src_ip,
    if(has_ports = 1, if(packet_from_a = 1, a_port, b_port), NULL) AS src_port,
    if(ip_version = 4, IPv4NumToString(toIPv4(if(packet_from_a = 1, b_ip, a_ip))), IPv6NumToString(if(packet_from_a = 1, b_ip, a_ip))) AS dst_ip,
    if(has_ports = 1, if(packet_from_a = 1, b_port, a_port), NULL) AS dst_port,
    MACNumToString(if(packet_from_a = 1, a_mac, b_mac)) AS src_mac,
    MACNumToString(if(packet_from_a = 1, b_mac, a_mac)) AS dst_mac,
    if(slices.vlan_id = 65535, NULL, slices.vlan_id) AS vlan_id,
    protocol,
    packet_wire_bytes AS wire_bytes,
    packet_payload_bytes AS payload_bytes,
    if(packet_tcp_flags = 65535, NULL, packet_tcp_flags) AS tcp_flags
FROM slices
ARRAY JOIN
    slices.offset_ns AS packet_offset_ns,
    slices.wire_bytes AS packet_wire_bytes,
    slices.payload_bytes AS packet_payload_bytes,
    slices.tcp_flags AS packet_tcp_flags,
    slices.from_a AS packet_from_a;
