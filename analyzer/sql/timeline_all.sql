-- One row a step in which there was a packet. The key columns are empty: the rows
-- are of one shape with those of timeline_by.sql.
WITH
{{device}},
{{pairs_counted}},
resolved AS ({{resolved}})
SELECT
    toUInt64(0) AS mac, toUInt16(65535) AS vlan_id, toIPv6('::') AS ip,
    at - positiveModulo(at, {step:Int64}) AS step_at,
    toUInt64(sum(a_packets + b_packets)) AS packets,
    toUInt64(sum(a_wire_bytes + b_wire_bytes)) AS wire_bytes
FROM resolved
GROUP BY step_at
ORDER BY step_at
LIMIT {limit:UInt64}
