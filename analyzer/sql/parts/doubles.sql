-- Pairs and hours that more than one collector shows.
SELECT a_ip, b_ip, hour
FROM traffic_hour
WHERE hour > {first_second:Int64} - 3600 AND hour <= {last_second:Int64}
    {{and_by_collectors}}
GROUP BY a_ip, b_ip, hour
HAVING uniqExact(collector) > 1
