-- In which hours endpoints had packets: a row an endpoint, whole hours from their roll-up, the ends of the range from
-- pairs. Endpoints that can be nobody's are left out, as in `exchanged.sql`.
SELECT
    toString(collector) AS collector, vlan_id, mac, ip,
    groupArray(toInt32(intDiv(hour, 3600))) AS hours,
    groupArray(awake_minutes) AS awake_minutes,
    groupArray(packets) AS packets
FROM
(
    SELECT collector, vlan_id, mac, ip, hour, awake_minutes, packets
    FROM endpoint_hour
    WHERE {{in_hours}}
        {{and_by_collectors}}{{and_ends}}
)
GROUP BY collector, vlan_id, mac, ip
HAVING {{may_be_a_device}}
