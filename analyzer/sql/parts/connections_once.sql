-- The same where several collectors may have seen a connection: of rows of one
-- five-tuple that overlap (two seconds for clocks that differ), those of the
-- collector with most packets count.
SELECT
    * EXCEPT (five_tuple, cluster, seen_packets, seen_by),
    arraySort(arrayFilter(one -> one != toString(collector), seen_by)) AS also_seen_by
FROM
(
    SELECT
        *,
        groupUniqArray(100)(toString(collector)) OVER (PARTITION BY five_tuple, cluster) AS seen_by,
        first_value(collector) OVER (PARTITION BY five_tuple, cluster ORDER BY seen_packets DESC, collector
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS best
    FROM
    (
        SELECT *, sum(orig_packets + resp_packets) OVER (PARTITION BY five_tuple, cluster, collector) AS seen_packets
        FROM
        (
            SELECT
                *,
                sum(begins) OVER (PARTITION BY five_tuple ORDER BY started_at_ns, collector ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS cluster
            FROM
            (
                SELECT
                    *,
                    (
                        least((orig_ip, orig_port), (resp_ip, resp_port)), greatest((orig_ip, orig_port), (resp_ip, resp_port)),
                        protocol, has_ports
                    ) AS five_tuple,
                    started_at_ns > 2000000000 + max(last_at_ns) OVER (PARTITION BY five_tuple ORDER BY started_at_ns, collector
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS begins
                FROM ({{connections}})
            )
        )
    )
)
WHERE collector = best
