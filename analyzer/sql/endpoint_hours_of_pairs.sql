-- In which hours endpoints had packets: a row an endpoint, as `endpoint_hours.sql`, from pairs: those of some networks, or
-- once what several collectors saw.
WITH
{{pairs_counted}},
summed AS
(
    SELECT
        collector, vlan_id, mac, ip, hour,
        groupBitOr(endpoints.awake_minutes) AS awake_minutes, sum(endpoints.packets) AS packets
    FROM ({{endpoints_of_pairs}}) AS endpoints
    GROUP BY collector, vlan_id, mac, ip, hour
)
SELECT
    toString(collector) AS collector, vlan_id, mac, ip,
    groupArray(toInt32(intDiv(hour, 3600))) AS hours,
    groupArray(awake_minutes) AS awake_minutes,
    groupArray(packets) AS packets
FROM summed
GROUP BY collector, vlan_id, mac, ip
HAVING {{may_be_a_device}}
