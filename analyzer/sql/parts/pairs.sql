-- What each pair of endpoints exchanged in the range: whole hours and minutes
-- from the roll-ups, the seconds at its ends from the slices, and the two seconds
-- it cuts packet by packet. `at` is where the row's stretch begins.
SELECT
    collector, hour AS at, hour, awake_minutes, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes, first_at_ns, last_at_ns
FROM traffic_hour
WHERE hour >= {hour_from:Int64} AND hour < {hour_until:Int64}
    AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
UNION ALL
SELECT
    collector, minute AS at, minute - positiveModulo(minute, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(minute, 3600), 60))) AS awake_minutes,
    vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes, first_at_ns, last_at_ns
FROM traffic_minute
WHERE ((minute >= {minute_from:Int64} AND minute < {minute_until:Int64})
        OR (minute >= {late_minute_from:Int64} AND minute < {late_minute_until:Int64}))
    AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
UNION ALL
SELECT
    collector, second AS at, second - positiveModulo(second, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(second, 3600), 60))) AS awake_minutes,
    vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version,
    toUInt64(a_packets), toUInt64(b_packets), a_wire_bytes, b_wire_bytes,
    second * 1000000000 + arrayMin(offset_ns) AS first_at_ns,
    second * 1000000000 + arrayMax(offset_ns) AS last_at_ns
FROM slices
WHERE ((second >= {second_from:Int64} AND second < {second_until:Int64})
        OR (second >= {late_second_from:Int64} AND second < {late_second_until:Int64}))
    AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
UNION ALL
SELECT
    collector, second AS at, second - positiveModulo(second, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(second, 3600), 60))) AS awake_minutes,
    vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version,
    toUInt64(countIf(packet.3 = 1)) AS a_packets, toUInt64(countIf(packet.3 = 0)) AS b_packets,
    toUInt64(sumIf(packet.2, packet.3 = 1)) AS a_wire_bytes, toUInt64(sumIf(packet.2, packet.3 = 0)) AS b_wire_bytes,
    min(second * 1000000000 + packet.1) AS first_at_ns, max(second * 1000000000 + packet.1) AS last_at_ns
FROM slices
ARRAY JOIN arrayZip(offset_ns, wire_bytes, from_a) AS packet
WHERE (second = {cut_second:Int64} OR second = {late_cut_second:Int64})
    AND second * 1000000000 + packet.1 >= {since_ns:Int64} AND second * 1000000000 + packet.1 < {until_ns:Int64}
    AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
GROUP BY collector, second, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version
