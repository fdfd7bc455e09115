-- How many collectors should have reported on the range: those that were capturing
-- live in it or until shortly before, and those whose files reach into it. Who
-- replayed a file once, or was taken away long ago, is not missed.
SELECT count()
FROM
(
    SELECT
        minIf(covered_from_at_ns, source_fingerprint = '') AS live_from_at_ns,
        maxIf(covered_until_at_ns, source_fingerprint = '') AS live_until_at_ns,
        countIf(source_fingerprint != ''
            AND covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64}
            AND covered_until_at_ns - covered_from_at_ns <= {longest_ns:Int64}) AS files
    FROM batches
    WHERE covered_until_at_ns != 0
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
    GROUP BY collector
)
WHERE files > 0
    OR (live_until_at_ns != 0 AND live_from_at_ns < {until_ns:Int64} AND live_until_at_ns > {expected_since_ns:Int64})
