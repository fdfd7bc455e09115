-- All that is stored of each collector.
SELECT
    toString(collector) AS collector,
    count() AS batches,
    max(sealed_at_ns) AS last_batch_at_ns,
    sum(frames) AS frames,
    sum(packets) AS packets,
    sum(no_ip) AS no_ip,
    sumMap(CAST(undecoded, 'Map(String, UInt64)')) AS undecoded,
    sumMap(CAST(lost, 'Map(String, UInt64)')) AS lost,
    sum(clamped_times) AS clamped_times,
    minIf(batches.covered_from_at_ns, batches.covered_until_at_ns != 0) AS covered_from_at_ns,
    max(batches.covered_until_at_ns) AS covered_until_at_ns
FROM batches
WHERE empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)}
GROUP BY collector
ORDER BY collector
