-- One row a device: up to some hundred.
WITH
{{device}},
{{pairs_counted}},
resolved AS ({{resolved}}),
sides AS ({{sides}}),
hours AS
(
    SELECT
        device, hour,
        bitCount(groupBitOr(awake_minutes)) AS awake_minutes,
        sum(packets) AS packets, sum(wire_bytes) AS wire_bytes,
        groupUniqArrayIfState(50)(device_ip, device_ip NOT IN (toIPv6('::'), toIPv6('0.0.0.0'))) AS ips, uniqExactState(peer_ip) AS peers
    FROM sides
    GROUP BY device, hour
)
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip,
    arraySort(groupUniqArrayIfMerge(50)(hours.ips)) AS ips,
    toUInt64(sum(hours.packets)) AS packets,
    toUInt64(sum(hours.wire_bytes)) AS wire_bytes,
    toUInt64(sum(hours.awake_minutes)) AS awake_minutes,
    uniqExactMerge(hours.peers) AS peers,
    toUInt64(sum(packets) OVER ()) AS all_packets,
    toUInt64(sum(wire_bytes) OVER ()) AS all_wire_bytes
FROM hours
GROUP BY device
ORDER BY
    multiIf({order:UInt8} = 2, toFloat64(wire_bytes), {order:UInt8} = 3, packets / awake_minutes, toFloat64(packets)) DESC,
    mac, vlan_id, ip
LIMIT {limit:UInt64}
