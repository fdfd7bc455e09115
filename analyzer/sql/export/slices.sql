-- A row a flow slice, as stored: the packets of a flow within one second, of each collector.
WITH
{{device}}
SELECT
    fromUnixTimestamp64Nano(second * 1000000000, 'UTC') AS second_at, toString(collector) AS collector, if(vlan_id = 65535, NULL, vlan_id) AS vlan_id,
    if(a_mac = 0, NULL, lower(MACNumToString(a_mac))) AS a_mac, if(b_mac = 0, NULL, lower(MACNumToString(b_mac))) AS b_mac,
    if(ip_version = 4, IPv4NumToString(toIPv4(a_ip)), IPv6NumToString(a_ip)) AS a_ip, if(ip_version = 4, IPv4NumToString(toIPv4(b_ip)), IPv6NumToString(b_ip)) AS b_ip,
    protocol, if(has_ports = 1, a_port, NULL) AS a_port, if(has_ports = 1, b_port, NULL) AS b_port,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes,
    offset_ns, wire_bytes, payload_bytes, tcp_flags, from_a
FROM slices
WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
    AND second >= {first_second:Int64} AND second <= {last_second:Int64}
    {{and_by_collectors}}
    AND ({any_device:UInt8} = 1
        OR device_of(collector, vlan_id, a_mac, a_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
        OR device_of(collector, vlan_id, b_mac, b_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    {{and_pair_in_nets}}
ORDER BY second
LIMIT {rows:UInt64}
