-- All devices ever seen, with their addresses: one row each.
WITH
{{device}},
seen AS
(
    SELECT collector, vlan_id, mac, ip, first_at_ns, last_at_ns
    FROM endpoints
    -- A group's MAC is nobody's; what it sent (it never should) is its address's.
    WHERE sent_packets > 0 OR bitAnd(mac, 1099511627776) = 0
    UNION ALL
    SELECT collector, vlan_id, mac, ip, first_at_ns, last_at_ns
    FROM sightings
    WHERE kind IN ('arp', 'ndp', 'dhcp_client')
)
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip,
    arraySort(groupUniqArrayIf(50)(seen.ip, seen.ip NOT IN (toIPv6('::'), toIPv6('0.0.0.0')))) AS ips,
    min(seen.first_at_ns) AS first_at_ns,
    max(seen.last_at_ns) AS last_at_ns
FROM (SELECT *, device_of(collector, vlan_id, mac, ip) AS device FROM seen) AS seen
WHERE device != (0, 65535, toIPv6('::'))
GROUP BY device
