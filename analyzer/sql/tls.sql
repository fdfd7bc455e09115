-- One row a ClientHello.
WITH
{{device}},
seen AS
(
    SELECT *, device_of(collector, vlan_id, client_mac, client_ip) AS device, seen_at_ns AS asked_at_ns
    FROM tls_hellos
    WHERE intDiv(seen_at_ns, 3600000000000) >= intDiv({since_ns:Int64}, 3600000000000)
        AND intDiv(seen_at_ns, 3600000000000) <= intDiv({until_ns:Int64}, 3600000000000)
        AND seen_at_ns >= {since_ns:Int64} AND seen_at_ns < {until_ns:Int64}
        {{and_by_collectors}}
        {{and_client_in_nets}}
)
SELECT
    toString(collector) AS collector, {{also_seen_by}} AS also_seen_by,
    seen_at_ns, client_ip, server_ip, client_port, server_port, toString(transport) AS transport, version, sni, alpn,
    toString(ja4) AS ja4, ech,
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip
FROM {{counted}}
WHERE {any_device:UInt8} = 1 OR device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
ORDER BY seen_at_ns {{way}}, client_ip {{way}}, server_ip {{way}}, client_port {{way}}
LIMIT {limit:UInt64}
