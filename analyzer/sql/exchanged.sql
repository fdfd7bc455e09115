-- What endpoints exchanged with each other: a row a pair, in no order. Whose endpoints they are is told in
-- `query/sides.rs`.
WITH
{{pairs_counted}}
SELECT
    toString(pairs.collector) AS collector, vlan_id, a_mac, b_mac, toUInt128(a_ip) AS a_number, toUInt128(b_ip) AS b_number,
    sum(pairs.a_packets) AS a_packets, sum(pairs.b_packets) AS b_packets,
    sum(pairs.a_wire_bytes) AS a_wire_bytes, sum(pairs.b_wire_bytes) AS b_wire_bytes,
    {{times}},
    {{minutes}},
    toUInt8(2) AS side
FROM pairs
WHERE 1
    {{and_pair_in_nets}}
GROUP BY pairs.collector, vlan_id, a_mac, b_mac, a_ip, b_ip
