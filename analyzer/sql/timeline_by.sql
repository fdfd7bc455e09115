-- One row a device (or destination) and step in which it had a packet.
WITH
{{device}},
{{pairs_counted}},
resolved AS ({{resolved}}),
sides AS ({{sides}})
SELECT
    key.1 AS mac, key.2 AS vlan_id, key.3 AS ip,
    at - positiveModulo(at, {step:Int64}) AS step_at,
    toUInt64(sum(sides.packets)) AS packets,
    toUInt64(sum(sides.wire_bytes)) AS wire_bytes
FROM sides
GROUP BY
    step_at,
    if({by_destination:UInt8} = 0, device, if(peer_device = (0, 65535, toIPv6('::')), (toUInt64(0), toUInt16(65535), peer_ip), peer_device)) AS key
ORDER BY mac, vlan_id, ip, step_at
LIMIT {limit:UInt64}
