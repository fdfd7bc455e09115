-- Rows that several collectors saw: per five-tuple and minute those of the one
-- that saw most count.
(
    SELECT * EXCEPT (seen_rows, seen_by, best), arraySort(arrayFilter(one -> one != toString(collector), seen_by)) AS also
    FROM
    (
        SELECT
            *,
            groupUniqArray(100)(toString(collector)) OVER (PARTITION BY client_ip, client_port, server_ip, server_port, intDiv(asked_at_ns, 60000000000)) AS seen_by,
            first_value(collector) OVER (
                PARTITION BY client_ip, client_port, server_ip, server_port, intDiv(asked_at_ns, 60000000000)
                ORDER BY seen_rows DESC, collector
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS best
        FROM
        (
            SELECT *, count() OVER (PARTITION BY client_ip, client_port, server_ip, server_port, intDiv(asked_at_ns, 60000000000), collector) AS seen_rows
            FROM seen
        )
    )
    WHERE collector = best
)
