-- One row a packet, in the order of capture. With a limit, the newest.
WITH
{{device}},
slices_asked AS
(
    SELECT
        *,
        {{slices_seen_by}} AS also_seen_by,
        device_of(collector, vlan_id, a_mac, a_ip) AS a_device,
        device_of(collector, vlan_id, b_mac, b_ip) AS b_device
    FROM {{slices_counted}}
    WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
        AND second >= {first_second:Int64} AND second <= {last_second:Int64}
        {{and_by_collectors}}
        AND ({any_device:UInt8} = 1
            OR a_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
            OR b_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
        {{and_pair_in_nets}}
)
SELECT
    second * 1000000000 + packet_offset_ns AS captured_at_ns,
    toString(collector) AS collector, also_seen_by,
    ip_version, protocol, has_ports, vlan_id,
    a_ip, b_ip, a_port, b_port,
    a_device.1 AS a_device_mac, a_device.2 AS a_device_vlan_id, a_device.3 AS a_device_ip,
    b_device.1 AS b_device_mac, b_device.2 AS b_device_vlan_id, b_device.3 AS b_device_ip,
    packet_wire_bytes AS wire_bytes, toUInt32(packet_wire_bytes - packet_overhead_bytes) AS payload_bytes, packet_tcp_flags AS tcp_flags, packet_from_a AS from_a
FROM slices_asked
ARRAY JOIN
    slices_asked.offset_ns AS packet_offset_ns,
    slices_asked.wire_bytes AS packet_wire_bytes,
    slices_asked.overhead_bytes AS packet_overhead_bytes,
    slices_asked.tcp_flags AS packet_tcp_flags,
    slices_asked.from_a AS packet_from_a
WHERE captured_at_ns >= {since_ns:Int64} AND captured_at_ns < {until_ns:Int64}
ORDER BY captured_at_ns {{way}}
LIMIT {limit:UInt64}
