-- One row an unordered pair of addresses. What an address sends to itself is sent
-- by `a`: there is no other.
WITH
{{device}},
{{pairs_counted}},
resolved AS ({{resolved}})
SELECT
    a_ip, b_ip, ip_version,
    toUInt64(sum(resolved.a_packets + if(a_ip = b_ip, resolved.b_packets, 0))) AS a_packets,
    toUInt64(sum(if(a_ip = b_ip, 0, resolved.b_packets))) AS b_packets,
    toUInt64(sum(resolved.a_wire_bytes + if(a_ip = b_ip, resolved.b_wire_bytes, 0))) AS a_wire_bytes,
    toUInt64(sum(if(a_ip = b_ip, 0, resolved.b_wire_bytes))) AS b_wire_bytes,
    min(resolved.first_at_ns) AS first_at_ns,
    max(resolved.last_at_ns) AS last_at_ns
FROM resolved
GROUP BY a_ip, b_ip, ip_version
ORDER BY a_packets + b_packets DESC, a_ip, b_ip, ip_version
LIMIT {limit:UInt64}
