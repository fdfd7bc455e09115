-- A row a batch that reaches into the range, with its counters.
SELECT
    toString(collector) AS collector, epoch, seq, fromUnixTimestamp64Nano(sealed_at_ns, 'UTC') AS sealed_at,
    if(covered_until_at_ns = 0, NULL, fromUnixTimestamp64Nano(covered_from_at_ns, 'UTC')) AS covered_from_at,
    if(covered_until_at_ns = 0, NULL, fromUnixTimestamp64Nano(covered_until_at_ns, 'UTC')) AS covered_until_at,
    frames, packets, no_ip,
    toJSONString(undecoded) AS undecoded, toJSONString(lost) AS lost, clamped_times, source_name
FROM batches
WHERE ((covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64})
        OR (covered_until_at_ns = 0 AND sealed_at_ns >= {since_ns:Int64} AND sealed_at_ns < {until_ns:Int64}))
    {{and_by_collectors}}
ORDER BY collector, epoch, seq
LIMIT {rows:UInt64}
