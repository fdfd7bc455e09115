-- Addresses that some frames show at a MAC and others without one: Linux cooked
-- captures tell the sender's MAC only.
SELECT toString(endpoints.collector) AS collector, ip, any(endpoints.mac) AS mac, any(endpoints.vlan_id) AS vlan_id
FROM endpoints
WHERE sent_packets > 0 AND endpoints.mac != 0 AND bitAnd(endpoints.mac, 1099511627776) = 0
    AND (endpoints.collector, ip) IN (SELECT collector, ip FROM endpoints WHERE mac = 0)
GROUP BY endpoints.collector, ip
HAVING uniqExact(endpoints.mac, endpoints.vlan_id) = 1
LIMIT 10000
