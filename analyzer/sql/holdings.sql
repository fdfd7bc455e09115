-- Whose packets are stored, and up to when.
SELECT
    (
        SELECT groupArray((name, heard_from_at_ns, heard_until_at_ns))
        FROM
        (
            SELECT
                toString(batches.collector) AS name,
                minIf(covered_from_at_ns, is_live) AS heard_from_at_ns,
                maxIf(covered_until_at_ns, is_live) AS heard_until_at_ns
            FROM (SELECT *, source_fingerprint = '' AND covered_until_at_ns != 0 AS is_live FROM batches) AS batches
            GROUP BY batches.collector
        )
    ) AS collectors,
    toInt64(ifNull((SELECT max(last_at_ns) FROM endpoints), 0)) AS newest_at_ns
