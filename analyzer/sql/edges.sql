-- What live batches report on beside the range: one row a collector and start before it, and one after it.
SELECT
    toString(collector) AS collector, epoch,
    min(batches.covered_from_at_ns) AS from_at_ns, max(batches.covered_until_at_ns) AS until_at_ns,
    min(seq) AS first_seq, max(seq) AS last_seq
FROM batches
WHERE source_fingerprint = '' AND covered_until_at_ns != 0
    AND ((covered_until_at_ns <= {since_ns:Int64} AND covered_until_at_ns > {expected_since_ns:Int64})
        OR covered_from_at_ns >= {until_ns:Int64})
    AND covered_until_at_ns - {longest_ns:Int64} <= covered_from_at_ns
    {{and_by_collectors}}
GROUP BY collector, epoch, covered_from_at_ns >= {until_ns:Int64}
