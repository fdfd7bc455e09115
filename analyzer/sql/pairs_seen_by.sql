-- Which collectors show a pair of addresses in the same hour: a row a pair of which that are several. They are kept by who
-- asks: of more pairs than a house has (a scan) the first, since a device's others show the same collectors.
SELECT a_ip, b_ip, arraySort(groupUniqArrayArray(100)(by)) AS collectors
FROM
(
    SELECT a_ip, b_ip, hour, groupUniqArray(100)(toString(collector)) AS by
    FROM traffic_hour
    WHERE hour > {first_second:Int64} - 3600 AND hour <= {last_second:Int64}
        {{and_by_collectors}}
    GROUP BY a_ip, b_ip, hour
    HAVING length(by) > 1
)
GROUP BY a_ip, b_ip
ORDER BY a_ip, b_ip
LIMIT 262144
