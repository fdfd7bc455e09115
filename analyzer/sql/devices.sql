-- One row a device: up to some hundred.
WITH
{{device}},
{{pairs_counted}},
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
