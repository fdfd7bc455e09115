-- A row an NTP request.
WITH
{{device}}
SELECT
    fromUnixTimestamp64Nano(requested_at_ns, 'UTC') AS requested_at, if(replied_at_ns IS NULL, NULL, fromUnixTimestamp64Nano(assumeNotNull(replied_at_ns), 'UTC')) AS replied_at, toString(collector) AS collector, if(client_mac = 0, NULL, lower(MACNumToString(client_mac))) AS client_mac, if(vlan_id = 65535, NULL, vlan_id) AS vlan_id,
    if(ip_version = 4, IPv4NumToString(toIPv4(client_ip)), IPv6NumToString(client_ip)) AS client_ip, client_port, if(ip_version = 4, IPv4NumToString(toIPv4(server_ip)), IPv6NumToString(server_ip)) AS server_ip, version
FROM time_requests
WHERE intDiv(requested_at_ns, 3600000000000) >= intDiv({since_ns:Int64}, 3600000000000)
    AND intDiv(requested_at_ns, 3600000000000) <= intDiv({until_ns:Int64}, 3600000000000)
    AND requested_at_ns >= {since_ns:Int64} AND requested_at_ns < {until_ns:Int64}
    {{and_by_collectors}}
    AND ({any_device:UInt8} = 1
        OR device_of(collector, vlan_id, client_mac, client_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    {{and_client_in_nets}}
ORDER BY requested_at_ns
LIMIT {rows:UInt64}
