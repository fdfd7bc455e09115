-- One row a device, peer and address.
WITH
{{device}},
{{pairs_counted}},
resolved AS ({{resolved}}),
sides AS ({{sides}})
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip,
    peer_device.1 AS peer_mac, peer_device.2 AS peer_vlan_id, peer_device.3 AS peer_device_ip,
    sides.peer_ip AS peer_ip,
    toUInt64(sum(sides.packets)) AS packets,
    toUInt64(sum(sides.wire_bytes)) AS wire_bytes,
    min(sides.first_at_ns) AS first_at_ns,
    max(sides.last_at_ns) AS last_at_ns
FROM sides
GROUP BY device, peer_device, sides.peer_ip
ORDER BY packets DESC, mac, vlan_id, ip, peer_ip
