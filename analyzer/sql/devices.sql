-- One row a device: up to some hundred.
WITH
{{device}},
(outside_ip) -> NOT is_local(outside_ip)
    AND NOT (outside_ip >= toIPv6('224.0.0.0') AND outside_ip <= toIPv6('239.255.255.255'))
    AND NOT (outside_ip >= toIPv6('ff00::'))
    AND outside_ip NOT IN (toIPv6('255.255.255.255'), toIPv6('0.0.0.0'), toIPv6('::'), toIPv6('::1'))
    AND NOT (outside_ip >= toIPv6('127.0.0.0') AND outside_ip <= toIPv6('127.255.255.255')) AS is_outside,
pairs AS ({{pairs}}),
resolved AS ({{resolved}}),
sides AS ({{sides}})
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip,
    arraySort(groupUniqArrayIf(50)(device_ip, device_ip NOT IN (toIPv6('::'), toIPv6('0.0.0.0')))) AS ips,
    toUInt64(sum(sides.packets)) AS packets,
    toUInt64(sum(sides.wire_bytes)) AS wire_bytes,
    toUInt8(max(is_outside(peer_ip) OR is_outside(device_ip)) = 0) AS local_only
FROM sides
GROUP BY device
ORDER BY packets DESC, mac, vlan_id, ip
