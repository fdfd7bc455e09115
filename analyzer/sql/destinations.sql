-- One row a device and destination. A destination that is a device is one row,
-- whatever its addresses, unless it is asked by address.
WITH
{{device}},
pairs AS ({{pairs}}),
resolved AS ({{resolved}}),
sides AS ({{sides}})
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip,
    peer.1 AS peer_mac, peer.2 AS peer_vlan_id, peer.3 AS peer_ip,
    arraySort(groupUniqArray(50)(sides.peer_ip)) AS ips,
    toUInt64(sum(sides.packets)) AS packets,
    toUInt64(sum(sides.wire_bytes)) AS wire_bytes,
    min(sides.first_at_ns) AS first_at_ns,
    max(sides.last_at_ns) AS last_at_ns
FROM sides
GROUP BY
    device,
    if({by_ip:UInt8} = 1 OR peer_device = (0, 65535, toIPv6('::')), (toUInt64(0), toUInt16(65535), sides.peer_ip), peer_device) AS peer
ORDER BY packets DESC, mac, vlan_id, ip, peer_mac, peer_vlan_id, peer_ip
LIMIT {limit:UInt64}
