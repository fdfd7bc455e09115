-- Bytes on disk, a row a table.
SELECT table, sum(bytes_on_disk) AS bytes, sum(rows) AS rows
FROM system.parts
WHERE database = currentDatabase() AND active
GROUP BY table
ORDER BY bytes DESC
LIMIT 100
