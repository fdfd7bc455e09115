-- The same where several collectors reported: what two of them show of a pair of
-- addresses in one hour is counted from the slices, and there per five-tuple and
-- minute only what the collector with most packets saw. Where the slices are gone
-- already, that is decided per pair and minute.
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version, at, hour, awake_minutes, first_at_ns, last_at_ns,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes
FROM ({{pairs}})
WHERE (a_ip, b_ip, hour) NOT IN (SELECT a_ip, b_ip, hour FROM doubles)
UNION ALL
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version, second AS at,
    minute - positiveModulo(minute, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(minute, 3600), 60))) AS awake_minutes,
    min(counted.first_at_ns) AS first_at_ns, max(counted.last_at_ns) AS last_at_ns,
    sum(counted.a_packets) AS a_packets, sum(counted.b_packets) AS b_packets,
    sum(counted.a_wire_bytes) AS a_wire_bytes, sum(counted.b_wire_bytes) AS b_wire_bytes
FROM
(
    SELECT
        *,
        first_value(collector) OVER (
            PARTITION BY a_ip, b_ip, protocol, has_ports, a_port, b_port, minute
            ORDER BY seen DESC, collector ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS best
    FROM
    (
        SELECT *, sum(a_packets + b_packets) OVER (PARTITION BY a_ip, b_ip, protocol, has_ports, a_port, b_port, minute, collector) AS seen
        FROM
        (
            SELECT
                collector, second, second - positiveModulo(second, 60) AS minute, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version,
                protocol, has_ports, a_port, b_port,
                toUInt64(countIf(packet.3 = 1)) AS a_packets, toUInt64(countIf(packet.3 = 0)) AS b_packets,
                toUInt64(sumIf(packet.2, packet.3 = 1)) AS a_wire_bytes, toUInt64(sumIf(packet.2, packet.3 = 0)) AS b_wire_bytes,
                min(second * 1000000000 + packet.1) AS first_at_ns, max(second * 1000000000 + packet.1) AS last_at_ns
            FROM slices
            ARRAY JOIN arrayZip(offset_ns, wire_bytes, from_a) AS packet
            WHERE intDiv(second, 3600) >= intDiv({first_second:Int64}, 3600) AND intDiv(second, 3600) <= intDiv({last_second:Int64}, 3600)
                AND second >= {first_second:Int64} AND second <= {last_second:Int64}
                AND second * 1000000000 + packet.1 >= {since_ns:Int64} AND second * 1000000000 + packet.1 < {until_ns:Int64}
                {{and_by_collectors}}
                AND (a_ip, b_ip, second - positiveModulo(second, 3600)) IN (SELECT a_ip, b_ip, hour FROM doubles)
            GROUP BY collector, second, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version, protocol, has_ports, a_port, b_port
        )
    )
) AS counted
WHERE collector = best
GROUP BY collector, second, minute, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version
UNION ALL
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version, minute AS at,
    minute - positiveModulo(minute, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(minute, 3600), 60))) AS awake_minutes,
    first_at_ns, last_at_ns,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes
FROM
(
    SELECT
        *,
        first_value(collector) OVER (
            PARTITION BY a_ip, b_ip, minute ORDER BY seen DESC, collector
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS best
    FROM
    (
        SELECT *, sum(a_packets + b_packets) OVER (PARTITION BY a_ip, b_ip, minute, collector) AS seen
        FROM traffic_minute
        WHERE minute >= {first_second:Int64} AND minute <= {last_second:Int64}
            {{and_by_collectors}}
            AND (a_ip, b_ip, minute - positiveModulo(minute, 3600)) IN (SELECT a_ip, b_ip, hour FROM doubles)
            AND (a_ip, b_ip, minute) NOT IN (
                SELECT a_ip, b_ip, second - positiveModulo(second, 60) FROM slices
                WHERE intDiv(second, 3600) >= intDiv({first_second:Int64} - 60, 3600)
                    AND intDiv(second, 3600) <= intDiv({last_second:Int64} + 60, 3600)
                    AND second >= {first_second:Int64} - 60 AND second <= {last_second:Int64} + 60)
    )
)
WHERE collector = best
