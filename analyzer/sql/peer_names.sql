-- Under which names devices reached addresses, the newest first.
WITH
{{device}}
SELECT
    ip, name, toString(source) AS source,
    client.1 AS mac, client.2 AS vlan_id, client.3 AS client_ip,
    min(first_at_ns) AS first_at_ns, max(last_at_ns) AS last_at_ns
FROM (SELECT *, device_of(collector, vlan_id, client_mac, peer_names.client_ip) AS client FROM peer_names) AS peer_names
GROUP BY ip, name, source, client
ORDER BY last_at_ns DESC
LIMIT 300000
