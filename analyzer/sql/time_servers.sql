-- One row a device and server.
WITH
{{device}},
seen AS
(
    SELECT *, device_of(collector, vlan_id, client_mac, client_ip) AS device, requested_at_ns AS asked_at_ns, toUInt16(123) AS server_port
    FROM time_requests
    WHERE intDiv(requested_at_ns, 3600000000000) >= intDiv({since_ns:Int64}, 3600000000000)
        AND intDiv(requested_at_ns, 3600000000000) <= intDiv({until_ns:Int64}, 3600000000000)
        AND requested_at_ns >= {since_ns:Int64} AND requested_at_ns < {until_ns:Int64}
        {{and_by_collectors}}
        {{and_client_in_nets}}
)
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip, server_ip,
    count() AS requests, countIf(replied_at_ns IS NOT NULL) AS replies,
    groupArray(10000)(requested_at_ns) AS requests_at_ns,
    min(requested_at_ns) AS first_at_ns, max(requested_at_ns) AS last_at_ns
FROM {{counted}}
WHERE {any_device:UInt8} = 1 OR device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
GROUP BY device, server_ip
ORDER BY requests DESC, mac, vlan_id, ip, server_ip
LIMIT {limit:UInt64}
