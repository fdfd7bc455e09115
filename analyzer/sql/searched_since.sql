-- Where the newest packets of the range begin that devices asked for exchanged: the hour before which at least so
-- many came, or none.
{{with_device}}
SELECT if(count() = 0, NULL, max(hour) + 3600)
FROM
(
    SELECT hour, sum(packets) OVER (ORDER BY hour DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newer
    FROM
    (
        SELECT hour, sum(traffic_hour.a_packets + traffic_hour.b_packets) AS packets
        FROM traffic_hour
        WHERE hour > {first_second:Int64} - 3600 AND hour <= {last_second:Int64}
            {{and_by_collectors}}
            {{and_pair_in_nets}}
            AND {{is_of_pair}}
        GROUP BY hour
    )
)
WHERE newer >= {most_packets:UInt64}
