-- Stretches between two batches of a collector of which nothing is known. At
-- most a hundred, the latest.
SELECT toString(collector) AS collector, before_until_at_ns AS from_at_ns, covered_from_at_ns AS until_at_ns
FROM
(
    SELECT
        collector, covered_from_at_ns,
        max(covered_until_at_ns) OVER (PARTITION BY collector ORDER BY covered_from_at_ns, covered_until_at_ns
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_until_at_ns,
        -- This one or the one before is from a file.
        max(source_fingerprint != '') OVER (PARTITION BY collector ORDER BY covered_from_at_ns, covered_until_at_ns
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS is_of_file,
        row_number() OVER (PARTITION BY collector ORDER BY covered_from_at_ns, covered_until_at_ns) AS number
    FROM batches
    WHERE covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64}
        AND covered_until_at_ns != 0
        AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
)
-- Live batches follow each other without a hole: where there is one, a batch is missing, or the collector was not
-- there. Between captured files there is always one; a second is no outage.
WHERE number > 1 AND covered_from_at_ns > before_until_at_ns + if(is_of_file, 1000000000, 1000000)
ORDER BY from_at_ns DESC
LIMIT 100
