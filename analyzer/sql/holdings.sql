-- Whose packets are stored, from when to when. Batches are kept for two years, sums of days and endpoints longer.
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
    toInt64(ifNull((SELECT minOrNull(covered_from_at_ns) FROM batches WHERE covered_until_at_ns != 0), 0)) AS first_batch_at_ns,
    packets.collectors AS collectors_of_packets, packets.first_at_ns AS first_at_ns, packets.last_at_ns AS newest_at_ns
FROM
(
    SELECT
        groupUniqArray(toString(collector)) AS collectors,
        min(endpoints.first_at_ns) AS first_at_ns, max(endpoints.last_at_ns) AS last_at_ns
    FROM endpoints
) AS packets
