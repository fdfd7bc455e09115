-- Connections with a peer outside, with what they did in each second: one row a five-tuple and collector
-- with enough seconds to be regular. DNS, DHCP and NTP are asked for elsewhere; what was never answered
-- keeps nothing alive. Whose they are is told in `query/keepalives.rs`.
WITH
{{device}},
outside AS
(
    SELECT a_ip, b_ip
    FROM traffic_hour
    WHERE hour > {first_second:Int64} - 3600 AND hour <= {last_second:Int64}
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
        AND (empty({nets:Array(Tuple(IPv6, IPv6))})
            OR arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), {nets:Array(Tuple(IPv6, IPv6))}))
        AND ({any_device:UInt8} = 1
            OR device_of(collector, vlan_id, a_mac, a_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
            OR device_of(collector, vlan_id, b_mac, b_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    GROUP BY a_ip, b_ip
    HAVING is_outside(a_ip) != is_outside(b_ip)
)
SELECT
    toString(collector) AS collector, a_ip, b_ip, protocol, a_port, b_port,
    link.1 AS vlan_id, link.2 AS a_mac, link.3 AS b_mac,
    at_ns, end_ns, packets, payload_bytes, wire_bytes
FROM
(
    SELECT
        collector, a_ip, b_ip, protocol, a_port, b_port,
        argMin((vlan_id, a_mac, b_mac), second) AS link,
        -- Arrays of numbers: one of tuples takes twice as long.
        groupArray(50000)(second * 1000000000 + arrayMin(offset_ns)) AS at_ns,
        groupArray(50000)(second * 1000000000 + arrayMax(offset_ns)) AS end_ns,
        groupArray(50000)(toUInt64(a_packets + b_packets)) AS packets,
        groupArray(50000)(toUInt64(a_wire_bytes + b_wire_bytes - arraySum(overhead_bytes))) AS payload_bytes,
        groupArray(50000)(a_wire_bytes + b_wire_bytes) AS wire_bytes
    FROM slices
    WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
        AND second >= {first_second:Int64} AND second <= {last_second:Int64}
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
        AND (empty({five_tuples:Array(Tuple(IPv6, UInt16, IPv6, UInt16, UInt8))})
            OR (a_ip, a_port, b_ip, b_port, protocol) IN {five_tuples:Array(Tuple(IPv6, UInt16, IPv6, UInt16, UInt8))})
        AND has_ports = 1
        AND NOT hasAny([a_port, b_port], {other_ports:Array(UInt16)})
        AND bitAnd(a_mac, 1099511627776) = 0 AND bitAnd(b_mac, 1099511627776) = 0
        AND (a_ip, b_ip) IN (SELECT a_ip, b_ip FROM outside)
    GROUP BY collector, a_ip, b_ip, protocol, a_port, b_port
    HAVING length(at_ns) >= {least_beats:UInt64}
        AND max(second) - min(second) >= {least_secs:Int64}
        AND sum(slices.a_packets) > 0 AND sum(slices.b_packets) > 0
)
ORDER BY a_ip, b_ip, protocol, a_port, b_port, length(at_ns) DESC, collector
