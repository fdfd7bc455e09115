-- What endpoints exchanged with each other: a row an endpoint and peer, in the order of the peers' addresses. Whose
-- endpoints they are is told in `query/sides.rs`; those that can be nobody's are left out.
WITH
{{pairs_counted}},
summed AS
(
    SELECT
        collector, vlan_id, a_mac, b_mac, a_ip, b_ip,
        sum(pairs.a_packets) AS a_packets, sum(pairs.b_packets) AS b_packets,
        sum(pairs.a_wire_bytes) AS a_wire_bytes, sum(pairs.b_wire_bytes) AS b_wire_bytes,
        {{times}},
        {{hours}}
    FROM {{summands}}
    WHERE empty({nets:Array(Tuple(IPv6, IPv6))})
        OR arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), {nets:Array(Tuple(IPv6, IPv6))})
    GROUP BY collector, vlan_id, a_mac, b_mac, a_ip, b_ip
)
SELECT
    toString(collector) AS collector, vlan_id,
    side.1 AS mac, side.2 AS ip, side.3 AS peer_mac, side.4 AS peer_ip,
    side.5 AS is_second,
    side.6 AS sent_packets, side.7 AS received_packets, side.8 AS sent_wire_bytes, side.9 AS received_wire_bytes,
    first_at_ns, last_at_ns, hours, awake_minutes, hour_a_packets, hour_b_packets
FROM summed
ARRAY JOIN [
    (a_mac, a_ip, b_mac, b_ip, 0, a_packets, b_packets, a_wire_bytes, b_wire_bytes),
    (b_mac, b_ip, a_mac, a_ip, 1, b_packets, a_packets, b_wire_bytes, a_wire_bytes)
] AS side
WHERE {{may_be_a_device}}
ORDER BY peer_ip
