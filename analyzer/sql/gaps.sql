-- Stretches between two batches of a collector of which nothing is known. At
-- most a hundred, the latest.
SELECT toString(collector) AS collector, before_until_at_ns AS from_at_ns, covered_from_at_ns AS until_at_ns
FROM
(
    SELECT
        collector, covered_from_at_ns,
        max(covered_until_at_ns) OVER (PARTITION BY collector ORDER BY covered_from_at_ns, covered_until_at_ns
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_until_at_ns,
        row_number() OVER (PARTITION BY collector ORDER BY covered_from_at_ns, covered_until_at_ns) AS number
    FROM batches
    WHERE covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64}
        AND covered_until_at_ns != 0
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
)
-- Batches of one run follow each other without a hole; a second is no outage.
WHERE number > 1 AND covered_from_at_ns > before_until_at_ns + 1000000000
ORDER BY from_at_ns DESC
LIMIT 100
