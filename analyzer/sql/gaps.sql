-- Stretches of which a collector that had reported said nothing: between its batches,
-- and, if it captures live, since the last of them. At most a hundred, the latest.
WITH
-- The runs of files stand each for itself: between two of them nothing was promised.
rows AS
(
    SELECT
        toString(batches.collector) AS collector, epoch, seq, covered_from_at_ns, covered_until_at_ns,
        source_fingerprint = '' AS is_live,
        if(is_live, '', concat(toString(epoch), ' ', source_fingerprint)) AS run,
        -- Grows where numbers are left out. Batches of names alone cover no time, but have a number.
        seq - row_number() OVER (PARTITION BY batches.collector, epoch ORDER BY seq) AS missing_before
    FROM batches
    WHERE ((covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64}) OR covered_until_at_ns = 0)
        AND (empty({collectors:Array(String)}) OR batches.collector IN {collectors:Array(String)})
),
ordered AS
(
    SELECT
        *,
        max(covered_until_at_ns) OVER before AS before_until_at_ns,
        argMax(epoch, covered_until_at_ns) OVER before AS before_epoch,
        argMax(missing_before, covered_until_at_ns) OVER before AS before_missing,
        row_number() OVER (PARTITION BY collector, run ORDER BY covered_from_at_ns, covered_until_at_ns) AS number
    FROM rows
    -- A file with a packet of 1970 covers nothing (`sql/coverage_jumping.sql`).
    WHERE covered_until_at_ns != 0 AND covered_until_at_ns - covered_from_at_ns <= {longest_ns:Int64}
    WINDOW before AS (PARTITION BY collector, run ORDER BY covered_from_at_ns, covered_until_at_ns
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT collector, from_at_ns, until_at_ns, reason, missing_batches
FROM
(
    SELECT
        collector, before_until_at_ns AS from_at_ns, covered_from_at_ns AS until_at_ns,
        multiIf(epoch != before_epoch, 'not_running', missing_before > before_missing, 'batches_missing', 'clock_jumped') AS reason,
        if(reason = 'batches_missing', toUInt64(missing_before - before_missing), 0) AS missing_batches
    FROM ordered
    -- Live batches follow each other without a hole. Between the parts of a file a second is no outage.
    WHERE number > 1 AND covered_from_at_ns > before_until_at_ns + if(is_live, 1000000, 1000000000)
    UNION ALL
    SELECT
        toString(batches.collector) AS collector,
        max(batches.covered_until_at_ns) AS from_at_ns,
        least({until_ns:Int64}, {now_ns:Int64}) AS until_at_ns,
        'silent' AS reason, toUInt64(0) AS missing_batches
    FROM batches
    WHERE source_fingerprint = '' AND covered_until_at_ns != 0
        AND (empty({collectors:Array(String)}) OR batches.collector IN {collectors:Array(String)})
    GROUP BY batches.collector
    -- Who has been silent for a week is expected no more (`sql/expected_collectors.sql`).
    HAVING until_at_ns - from_at_ns > {silence_ns:Int64} AND from_at_ns > {expected_since_ns:Int64} AND from_at_ns < {until_ns:Int64}
)
ORDER BY from_at_ns DESC, collector
LIMIT 100
