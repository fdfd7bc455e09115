-- MACs of which a mirror shows one direction with VLAN tags and the other
-- without: the tag then tells nothing about the device.
SELECT toString(collector) AS collector, mac
FROM endpoints
WHERE mac != 0 AND bitAnd(mac, 1099511627776) = 0
GROUP BY collector, mac
HAVING (sumIf(sent_packets, vlan_id NOT IN (0, 65535)) = 0 AND sum(sent_packets) > 0 AND sumIf(received_packets, vlan_id NOT IN (0, 65535)) > 0)
    OR (sumIf(received_packets, vlan_id NOT IN (0, 65535)) = 0 AND sum(received_packets) > 0 AND sumIf(sent_packets, vlan_id NOT IN (0, 65535)) > 0)
