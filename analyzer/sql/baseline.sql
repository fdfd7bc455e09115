-- What is usual for a device: the median over its awake clock hours of packets a
-- minute. One row a device that was awake in enough hours to say so.
WITH
{{device}},
{{pairs_counted}},
resolved AS ({{resolved}}),
sides AS ({{sides}})
SELECT device.1 AS mac, device.2 AS vlan_id, device.3 AS ip, quantileExactInclusive(0.5)(packets) / 60 AS usual
FROM (SELECT device, hour, sum(sides.packets) AS packets FROM sides GROUP BY device, hour)
GROUP BY device
HAVING count() >= {least_hours:UInt64}
