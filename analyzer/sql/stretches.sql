-- Which stretches of time batches report on that reach into the range: one row a collector, start and step of the
-- range, or one a batch. Batches of names alone have no time, but a number; those of centuries tell no time either
-- (`sql/coverage_jumping.sql`).
WITH
covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64} AS reaches,
multiIf(covered_until_at_ns = 0, 1, covered_until_at_ns - {longest_ns:Int64} > covered_from_at_ns, 2, 0) AS kind,
intDiv(covered_from_at_ns, {step_ns:Int64}) AS step
SELECT
    toString(collector) AS collector, epoch, source_fingerprint, kind,
    -- Of files each batch has a row: between two of them time may pass.
    multiIf(kind != 0, toInt64(intDiv(seq, 64)), source_fingerprint = '' AND {each_batch:UInt8} = 0, step, covered_from_at_ns) AS number,
    min(batches.covered_from_at_ns) AS from_at_ns, max(batches.covered_until_at_ns) AS until_at_ns,
    min(seq) AS first_seq, max(seq) AS last_seq,
    count() AS batches,
    -- One follows the other without a hole, and none is missing; they overlap by a nanosecond or more.
    toUInt8(last_seq - first_seq + 1 = batches
        AND intervalLengthSum(batches.covered_from_at_ns, batches.covered_until_at_ns) = until_at_ns - from_at_ns) AS is_whole,
    -- Of 64 in a row; bit n is set if there is batch 64 * `number` + n.
    groupBitOr(bitShiftLeft(toUInt64(1), toUInt8(seq % 64))) AS seqs,
    sumIf(batches.frames, reaches) AS frames,
    sumIf(arraySum(mapValues(batches.undecoded)), reaches) AS undecoded,
    sumMapIf(mapKeys(batches.lost), mapValues(batches.lost), reaches) AS lost
FROM batches
WHERE (reaches OR (covered_until_at_ns = 0 AND (source_fingerprint != ''
        OR (sealed_at_ns >= {sealed_since_ns:Int64} AND sealed_at_ns <= {sealed_until_ns:Int64}))))
    {{and_by_collectors}}
    AND ({each_batch:UInt8} = 0 OR (kind = 0 AND source_fingerprint = '' AND (collector, epoch, step) IN {steps:Array(Tuple(String, UInt64, Int64))}))
GROUP BY collector, epoch, source_fingerprint, kind, number
