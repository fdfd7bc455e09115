-- A row a packet, in the order of capture; one that several collectors saw once.
WITH
{{device}},
chosen AS
(
    SELECT *
    FROM {{slices_counted}}
    WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
        AND second >= {first_second:Int64} AND second <= {last_second:Int64}
        {{and_by_collectors}}
    AND ({any_device:UInt8} = 1
        OR device_of(collector, vlan_id, a_mac, a_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
        OR device_of(collector, vlan_id, b_mac, b_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    {{and_pair_in_nets}}
)
SELECT
    fromUnixTimestamp64Nano(second * 1000000000 + packet_offset_ns, 'UTC') AS captured_at,
    toString(collector) AS collector,
    if(packet_from_a = 1, a_text, b_text) AS src_ip,
    if(has_ports = 1, if(packet_from_a = 1, a_port, b_port), NULL) AS src_port,
    if(packet_from_a = 1, b_text, a_text) AS dst_ip,
    if(has_ports = 1, if(packet_from_a = 1, b_port, a_port), NULL) AS dst_port,
    if(packet_from_a = 1, a_mac_text, b_mac_text) AS src_mac,
    if(packet_from_a = 1, b_mac_text, a_mac_text) AS dst_mac,
    if(vlan_id = 65535, NULL, vlan_id) AS vlan_id,
    protocol,
    packet_wire_bytes AS wire_bytes,
    toUInt32(packet_wire_bytes - packet_overhead_bytes) AS payload_bytes,
    if(packet_tcp_flags = 65535, NULL, packet_tcp_flags) AS tcp_flags
FROM
(
    SELECT
        *,
        if(ip_version = 4, IPv4NumToString(toIPv4(a_ip)), IPv6NumToString(a_ip)) AS a_text,
        if(ip_version = 4, IPv4NumToString(toIPv4(b_ip)), IPv6NumToString(b_ip)) AS b_text,
        if(a_mac = 0, NULL, lower(MACNumToString(a_mac))) AS a_mac_text,
        if(b_mac = 0, NULL, lower(MACNumToString(b_mac))) AS b_mac_text
    FROM chosen
) AS chosen
ARRAY JOIN
    chosen.offset_ns AS packet_offset_ns,
    chosen.wire_bytes AS packet_wire_bytes,
    chosen.overhead_bytes AS packet_overhead_bytes,
    chosen.tcp_flags AS packet_tcp_flags,
    chosen.from_a AS packet_from_a
WHERE second * 1000000000 + packet_offset_ns >= {since_ns:Int64} AND second * 1000000000 + packet_offset_ns < {until_ns:Int64}
ORDER BY captured_at
LIMIT {rows:UInt64}
