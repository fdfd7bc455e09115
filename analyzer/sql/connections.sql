-- One row a five-tuple. The originator sent the first SYN without ACK, else the
-- first packet seen, unless that was a SYN-ACK.
WITH
{{device}},
flows AS
(
    SELECT
        a_ip, b_ip, ip_version, protocol, has_ports, a_port, b_port,
        argMin(device_of(collector, vlan_id, a_mac, a_ip), second) AS a_device,
        argMin(device_of(collector, vlan_id, b_mac, b_ip), second) AS b_device,
        min(second * 1000000000 + packet.1) AS first_at_ns,
        max(second * 1000000000 + packet.1) AS last_at_ns,
        countIf(packet.4 = 1) AS a_packets, countIf(packet.4 = 0) AS b_packets,
        sumIf(packet.2, packet.4 = 1) AS a_wire_bytes, sumIf(packet.2, packet.4 = 0) AS b_wire_bytes,
        argMin((packet.4, packet.3), second * 1000000000 + packet.1) AS first_packet,
        argMinIf(packet.4, second * 1000000000 + packet.1, packet.3 != 65535 AND bitAnd(packet.3, 18) = 2) AS syn_from_a,
        countIf(packet.3 != 65535 AND bitAnd(packet.3, 18) = 2) AS syns,
        countIf(packet.3 != 65535 AND bitAnd(packet.3, 5) != 0) AS ends
    FROM slices
    ARRAY JOIN arrayZip(offset_ns, wire_bytes, tcp_flags, from_a) AS packet
    WHERE second >= {first_second:Int64} AND second <= {last_second:Int64}
        AND second * 1000000000 + packet.1 >= {since_ns:Int64} AND second * 1000000000 + packet.1 < {until_ns:Int64}
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
        AND (empty({nets:Array(Tuple(IPv6, IPv6))})
            OR arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), {nets:Array(Tuple(IPv6, IPv6))}))
    GROUP BY a_ip, b_ip, ip_version, protocol, has_ports, a_port, b_port
)
SELECT
    a_ip, b_ip, ip_version, protocol, has_ports, a_port, b_port,
    a_device.1 AS a_device_mac, a_device.2 AS a_device_vlan_id, a_device.3 AS a_device_ip,
    b_device.1 AS b_device_mac, b_device.2 AS b_device_vlan_id, b_device.3 AS b_device_ip,
    first_at_ns, last_at_ns,
    toUInt64(a_packets) AS a_packets, toUInt64(b_packets) AS b_packets,
    toUInt64(a_wire_bytes) AS a_wire_bytes, toUInt64(b_wire_bytes) AS b_wire_bytes,
    toUInt8(multiIf(syns > 0, syn_from_a = 1,
        first_packet.2 != 65535 AND bitAnd(first_packet.2, 18) = 18, first_packet.1 = 0,
        first_packet.1 = 1)) AS orig_is_a,
    -- RFC 5382 and RFC 4787: silence that ends an established TCP connection, and UDP.
    toUInt8(ends = 0 AND last_at_ns + if(protocol = 6, 7440, 120) * 1000000000 > {open_at_ns:Int64}) AS is_open
FROM flows
WHERE ({any_device:UInt8} = 1
        OR a_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
        OR b_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    AND ({only_open:UInt8} = 0 OR is_open = 1)
    AND last_at_ns - first_at_ns >= {longer_than_ns:Int64}
ORDER BY first_at_ns, a_ip, b_ip, a_port, b_port, protocol
LIMIT {limit:UInt64}
