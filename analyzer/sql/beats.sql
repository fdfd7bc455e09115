-- Connections with a peer outside, with what they did in each second: one row a
-- five-tuple with enough seconds to be regular. DNS, DHCP and NTP are asked for
-- elsewhere; what was never answered keeps nothing alive.
WITH
{{device}},
flows AS
(
    SELECT
        collector, a_ip, b_ip, protocol, has_ports, a_port, b_port,
        argMin((vlan_id, a_mac), second) AS a_link,
        argMin((vlan_id, b_mac), second) AS b_link,
        groupArray(50000)((
            second * 1000000000 + arrayMin(offset_ns), second * 1000000000 + arrayMax(offset_ns),
            toUInt64(a_packets + b_packets), toUInt64(arraySum(payload_bytes)), a_wire_bytes + b_wire_bytes)) AS beats,
        count() AS seconds
    FROM slices
    WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
        AND second >= {first_second:Int64} AND second <= {last_second:Int64}
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
        AND (empty({nets:Array(Tuple(IPv6, IPv6))})
            OR arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), {nets:Array(Tuple(IPv6, IPv6))}))
        AND (empty({five_tuples:Array(Tuple(IPv6, UInt16, IPv6, UInt16, UInt8))})
            OR (a_ip, a_port, b_ip, b_port, protocol) IN {five_tuples:Array(Tuple(IPv6, UInt16, IPv6, UInt16, UInt8))})
        AND has_ports = 1
        AND NOT hasAny([a_port, b_port], {other_ports:Array(UInt16)})
        AND is_outside(a_ip) != is_outside(b_ip)
        AND ({any_device:UInt8} = 1
            OR device_of(collector, vlan_id, a_mac, a_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
            OR device_of(collector, vlan_id, b_mac, b_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
        AND bitAnd(a_mac, 1099511627776) = 0 AND bitAnd(b_mac, 1099511627776) = 0
    GROUP BY collector, a_ip, b_ip, protocol, has_ports, a_port, b_port
    HAVING seconds >= {least_beats:UInt64}
        AND max(second) - min(second) >= {least_secs:Int64}
        AND sum(slices.a_packets) > 0 AND sum(slices.b_packets) > 0
)
SELECT
    a_ip, b_ip, protocol, a_port, b_port,
    best.1.1 AS a_device_mac, best.1.2 AS a_device_vlan_id, best.1.3 AS a_device_ip,
    best.2.1 AS b_device_mac, best.2.2 AS b_device_vlan_id, best.2.3 AS b_device_ip,
    toUInt8(is_outside(b_ip)) AS b_is_outside,
    best.3 AS beats
FROM
(
    -- Of several collectors the one that saw most.
    SELECT
        a_ip, b_ip, protocol, a_port, b_port,
        argMax((device_of(collector, a_link.1, a_link.2, a_ip), device_of(collector, b_link.1, b_link.2, b_ip), beats), seconds) AS best
    FROM flows
    GROUP BY a_ip, b_ip, protocol, a_port, b_port
)
WHERE {any_device:UInt8} = 1
    OR best.1 IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
    OR best.2 IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
ORDER BY a_ip, b_ip, protocol, a_port, b_port
