-- When devices had their first packet ever with addresses outside, from the days'
-- roll-up, which outlives the packets.
WITH
{{device}},
pairs AS
(
    SELECT
        collector, day AS at, day AS hour, toUInt64(0) AS awake_minutes, vlan_id, a_mac, b_mac, a_ip, b_ip, ip_version,
        a_packets, b_packets, a_wire_bytes, b_wire_bytes, first_at_ns, last_at_ns
    FROM traffic_day
    WHERE empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)}
),
resolved AS ({{resolved}}),
sides AS ({{sides}})
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip, sides.peer_ip AS peer_ip,
    min(sides.first_at_ns) AS first_at_ns, max(sides.last_at_ns) AS last_at_ns
FROM sides
WHERE is_outside(sides.peer_ip)
GROUP BY device, sides.peer_ip
ORDER BY first_at_ns, mac, vlan_id, ip, peer_ip
