-- Bytes on disk, a row a table; days by the arrival of what is in its partitions.
SELECT
    table,
    sum(bytes_on_disk) AS bytes,
    sum(rows) AS rows,
    -- 0: the table keeps no days.
    toUInt16(min(min_date)) AS oldest_day,
    -- What came in the last week, by the days it has been coming for: partitions are days, weeks, months or years.
    toUInt64(sumIf(bytes_on_disk, max_date >= today() - 7)
        / greatest(1, today() - minIf(min_date, max_date >= today() - 7) + 1)) AS bytes_per_day
FROM system.parts
WHERE database = currentDatabase() AND active
GROUP BY table
ORDER BY bytes DESC
LIMIT 100
