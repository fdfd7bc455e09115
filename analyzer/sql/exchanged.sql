-- What endpoints exchanged with each other: a row an endpoint and peer, and hour if that is wanted, in the order of the
-- peers' addresses. Whose endpoints they are is told in `query/sides.rs`; those that can be nobody's are left out.
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
    FROM pairs
    WHERE 1
        {{and_pair_in_nets}}
    GROUP BY collector, vlan_id, a_mac, b_mac, a_ip, b_ip, in_hour
)
SELECT
    toString(collector) AS collector, vlan_id,
    if(is_second, b_mac, a_mac) AS mac, if(is_second, b_ip, a_ip) AS ip,
    if(is_second, a_mac, b_mac) AS peer_mac, if(is_second, a_ip, b_ip) AS peer_ip,
    is_second,
    if(is_second, b_packets, a_packets) AS sent_packets, if(is_second, a_packets, b_packets) AS received_packets,
    if(is_second, b_wire_bytes, a_wire_bytes) AS sent_wire_bytes,
    if(is_second, a_wire_bytes, b_wire_bytes) AS received_wire_bytes,
    first_at_ns, last_at_ns, in_hour AS hour, awake_minutes
FROM summed
ARRAY JOIN [toUInt8(0), toUInt8(1)] AS is_second
WHERE {{may_be_a_device}}
ORDER BY peer_ip
