-- What the batches that reach into the range report: one row. Where `jumping` is not 0
-- `sql/coverage_jumping.sql` has the answer.
SELECT
    uniqExact(collector) AS collectors_reporting,
    sum(frames) AS frames,
    sumMap(CAST(lost, 'Map(String, UInt64)')) AS lost,
    sum(arraySum(mapValues(undecoded))) AS undecoded,
    -- The union of the stretches, cut to the range.
    toInt64(intervalLengthSum(
        greatest(covered_from_at_ns, {since_ns:Int64}),
        greatest(least(covered_until_at_ns, {until_ns:Int64}), greatest(covered_from_at_ns, {since_ns:Int64})))) AS covered_ns,
    countIf(covered_until_at_ns - covered_from_at_ns > {longest_ns:Int64}) AS jumping
FROM batches
WHERE covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64}
    AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
