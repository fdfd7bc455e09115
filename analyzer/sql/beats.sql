-- Connections with a peer outside, with what they did in each second: one row a five-tuple and collector
-- with enough seconds to be regular. DNS, DHCP and NTP are asked for elsewhere; what was never answered
-- keeps nothing alive. Whose they are, and which peers are outside, is told in `query/keepalives.rs`.
{{with_device}}
SELECT
    toString(collector) AS collector, a_ip, b_ip, protocol, a_port, b_port,
    link.1 AS vlan_id, link.2 AS a_mac, link.3 AS b_mac,
    seconds, first_ns, last_ns, packets, overhead_bytes, wire_bytes
FROM
(
    SELECT
        collector, a_ip, b_ip, protocol, a_port, b_port,
        argMin((vlan_id, a_mac, b_mac, slices.a_ip, slices.b_ip), second) AS link,
        -- Arrays of small numbers: those of tuples take twice as long to make, and wide ones longer to move.
        groupArray(50000)(second) AS seconds,
        groupArray(50000)(arrayMin(offset_ns)) AS first_ns,
        groupArray(50000)(arrayMax(offset_ns)) AS last_ns,
        groupArray(50000)(toUInt32(a_packets + b_packets)) AS packets,
        groupArray(50000)(toUInt32(least(arraySum(slices.overhead_bytes), 4294967295))) AS overhead_bytes,
        groupArray(50000)(toUInt32(least(a_wire_bytes + b_wire_bytes, 4294967295))) AS wire_bytes
    FROM slices
    WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
        AND second >= {first_second:Int64} AND second <= {last_second:Int64}
        {{and_by_collectors}}
        AND (empty({five_tuples:Array(Tuple(IPv6, UInt16, IPv6, UInt16, UInt8))})
            OR (a_ip, a_port, b_ip, b_port, protocol) IN {five_tuples:Array(Tuple(IPv6, UInt16, IPv6, UInt16, UInt8))})
        {{and_pair_in_nets}}
        AND has_ports = 1
        AND NOT hasAny([a_port, b_port], {other_ports:Array(UInt16)})
        AND bitAnd(a_mac, 1099511627776) = 0 AND bitAnd(b_mac, 1099511627776) = 0
        {{and_is_of_devices}}
    GROUP BY collector, a_ip, b_ip, protocol, a_port, b_port
    HAVING length(seconds) >= {least_beats:UInt64}
        AND max(second) - min(second) >= {least_secs:Int64}
        AND sum(slices.a_packets) > 0 AND sum(slices.b_packets) > 0
)
-- Between the house and others. Not of `a_ip` and `b_ip`, nor of `any` of them: ClickHouse would look at each slice.
WHERE arrayExists(net -> link.4 >= net.1 AND link.4 <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))})
    != arrayExists(net -> link.5 >= net.1 AND link.5 <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))})
    AND {{is_of_pair}}
{{most_first}}
