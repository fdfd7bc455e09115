-- Slices, per five-tuple and minute only those of the collector with most packets.
(
    SELECT slices.*, best.collectors AS seen_by
    FROM slices
    INNER JOIN
    (
        SELECT
            a_ip, b_ip, protocol, has_ports, a_port, b_port, minute,
            argMax(collector, (seen, reverse(toString(collector)))) AS best_collector,
            groupUniqArray(100)(toString(collector)) AS collectors
        FROM
        (
            SELECT
                collector, a_ip, b_ip, protocol, has_ports, a_port, b_port, second - positiveModulo(second, 60) AS minute,
                sum(a_packets + b_packets) AS seen
            FROM slices
            WHERE intDiv(second, 3600) >= intDiv({first_second:Int64} - 60, 3600)
                AND intDiv(second, 3600) <= intDiv({last_second:Int64} + 60, 3600)
                AND second >= {first_second:Int64} - 60 AND second <= {last_second:Int64} + 60
                {{and_by_collectors}}
            GROUP BY collector, a_ip, b_ip, protocol, has_ports, a_port, b_port, minute
        )
        GROUP BY a_ip, b_ip, protocol, has_ports, a_port, b_port, minute
    ) AS best
    ON best.a_ip = slices.a_ip AND best.b_ip = slices.b_ip AND best.protocol = slices.protocol
        AND best.has_ports = slices.has_ports AND best.a_port = slices.a_port AND best.b_port = slices.b_port
        AND best.minute = slices.second - positiveModulo(slices.second, 60) AND best.best_collector = slices.collector
) AS slices
