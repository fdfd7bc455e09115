-- What each pair of endpoints exchanged in the range: whole days, hours and minutes
-- from the roll-ups, the seconds at its ends from the slices; what is cut of a second packet by packet.
-- `at` is where the row's stretch begins. Columns that are `OPTIONAL` (`store/read/parts.rs`)
-- have a line of their own, and are left out where a question does not name them.
-- Which minutes of a day were awake is known of its hours alone: who needs that does not ask for days.
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip,
    ip_version AS ip_version,
    day AS at,
    day AS hour,
    toUInt64(0) AS awake_minutes,
    first_at_ns AS first_at_ns,
    last_at_ns AS last_at_ns,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes
FROM traffic_day
WHERE {{in_days}}
    {{and_by_collectors}}
UNION ALL
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip,
    ip_version AS ip_version,
    hour AS at,
    hour AS hour,
    awake_minutes AS awake_minutes,
    first_at_ns AS first_at_ns,
    last_at_ns AS last_at_ns,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes
FROM traffic_hour
WHERE {{in_hours}}
    {{and_by_collectors}}
UNION ALL
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip,
    ip_version AS ip_version,
    minute AS at,
    minute - positiveModulo(minute, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(minute, 3600), 60))) AS awake_minutes,
    first_at_ns AS first_at_ns,
    last_at_ns AS last_at_ns,
    a_packets, b_packets, a_wire_bytes, b_wire_bytes
FROM traffic_minute
WHERE {{in_minutes}}
    {{and_by_collectors}}
UNION ALL
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip,
    ip_version AS ip_version,
    second AS at,
    second - positiveModulo(second, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(second, 3600), 60))) AS awake_minutes,
    second * 1000000000 + arrayMin(offset_ns) AS first_at_ns,
    second * 1000000000 + arrayMax(offset_ns) AS last_at_ns,
    toUInt64(a_packets) AS a_packets, toUInt64(b_packets) AS b_packets, a_wire_bytes, b_wire_bytes
FROM slices
WHERE {{in_seconds}}
    {{and_by_collectors}}
UNION ALL
SELECT
    collector, vlan_id, a_mac, b_mac, a_ip, b_ip,
    ip_version AS ip_version,
    second AS at,
    second - positiveModulo(second, 3600) AS hour,
    bitShiftLeft(toUInt64(1), toUInt8(intDiv(positiveModulo(second, 3600), 60))) AS awake_minutes,
    arrayMin(arrayFilter((at_ns, inside) -> inside, at_ns, is_inside)) AS first_at_ns,
    arrayMax(arrayFilter((at_ns, inside) -> inside, at_ns, is_inside)) AS last_at_ns,
    toUInt64(arrayCount((inside, from) -> inside AND from = 1, is_inside, from_a)) AS a_packets,
    toUInt64(arrayCount((inside, from) -> inside AND from = 0, is_inside, from_a)) AS b_packets,
    toUInt64(arraySum((inside, from, wire) -> if(inside AND from = 1, wire, 0), is_inside, from_a, wire_bytes)) AS a_wire_bytes,
    toUInt64(arraySum((inside, from, wire) -> if(inside AND from = 0, wire, 0), is_inside, from_a, wire_bytes)) AS b_wire_bytes
FROM
(
    SELECT
        *,
        arrayMap(offset -> second * 1000000000 + offset, offset_ns) AS at_ns,
        arrayMap(at -> at >= {since_ns:Int64} AND at < {until_ns:Int64}, at_ns) AS is_inside
    FROM slices
    WHERE {{in_cut_seconds}}
        {{and_by_collectors}}
)
WHERE has(is_inside, 1)
