-- One row a question that was seen.
WITH
{{device}},
seen AS
(
    SELECT *, device_of(collector, vlan_id, client_mac, client_ip) AS device
    FROM dns
    WHERE intDiv(asked_at_ns, 3600000000000) >= intDiv({since_ns:Int64}, 3600000000000)
        AND intDiv(asked_at_ns, 3600000000000) <= intDiv({until_ns:Int64}, 3600000000000)
        AND asked_at_ns >= {since_ns:Int64} AND asked_at_ns < {until_ns:Int64}
        AND question_seen = 1
        {{and_by_collectors}}
        {{and_client_in_nets}}
)
SELECT
    toString(collector) AS collector, {{also_seen_by}} AS also_seen_by,
    toString(kind) AS kind, asked_at_ns, answered_at_ns, client_ip, server_ip, protocol, qname, qtype, rcode,
    answer_names, answer_types, answer_ttl_secs, answer_data,
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip
FROM {{counted}}
WHERE {any_device:UInt8} = 1 OR device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
ORDER BY asked_at_ns {{way}}, client_ip {{way}}, server_ip {{way}}, qname {{way}}, qtype {{way}}
LIMIT {limit:UInt64}
