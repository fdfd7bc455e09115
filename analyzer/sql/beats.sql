-- Connections with a peer outside, with what they did in each second: one row a
-- five-tuple with enough seconds to be regular. DNS, DHCP and NTP are asked for
-- elsewhere; what was never answered keeps nothing alive.
WITH
{{device}},
flows AS
(
    SELECT
        collector, a_ip, b_ip, protocol, has_ports, a_port, b_port,
        argMin(device_of(collector, vlan_id, a_mac, a_ip), second) AS a_device,
        argMin(device_of(collector, vlan_id, b_mac, b_ip), second) AS b_device,
        groupArray(50000)((
            second * 1000000000 + arrayMin(offset_ns), second * 1000000000 + arrayMax(offset_ns),
            toUInt64(a_packets + b_packets), toUInt64(arraySum(payload_bytes)), a_wire_bytes + b_wire_bytes)) AS beats,
        count() AS seconds
    FROM slices
    WHERE second >= {first_second:Int64} AND second <= {last_second:Int64}
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
        AND (empty({nets:Array(Tuple(IPv6, IPv6))})
            OR arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), {nets:Array(Tuple(IPv6, IPv6))}))
        AND has_ports = 1
        AND NOT hasAny([a_port, b_port], {other_ports:Array(UInt16)})
        AND is_outside(a_ip) != is_outside(b_ip)
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
    SELECT a_ip, b_ip, protocol, a_port, b_port, argMax((a_device, b_device, beats), seconds) AS best
    FROM flows
    GROUP BY a_ip, b_ip, protocol, a_port, b_port
)
WHERE {any_device:UInt8} = 1
    OR best.1 IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
    OR best.2 IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
ORDER BY a_ip, b_ip, protocol, a_port, b_port
