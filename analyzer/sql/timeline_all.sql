-- One row a step in which there was a packet.
WITH
{{device}},
pairs AS ({{pairs}}),
resolved AS ({{resolved}})
SELECT
    at - positiveModulo(at, {step:Int64}) AS step_at,
    toUInt64(sum(a_packets + b_packets)) AS packets,
    toUInt64(sum(a_wire_bytes + b_wire_bytes)) AS wire_bytes
FROM resolved
GROUP BY step_at
ORDER BY step_at
LIMIT {limit:UInt64}
