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
            AND (empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)})
            AND (empty({nets:Array(Tuple(IPv6, IPv6))})
                OR arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), {nets:Array(Tuple(IPv6, IPv6))}))
            AND {{is_of_pair}}
        GROUP BY hour
    )
)
WHERE newer >= {most_packets:UInt64}
