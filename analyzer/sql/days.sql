-- Days of the range of which sums are kept, and of how many collectors.
SELECT groupUniqArray(day) AS days, uniqExact(collector) AS collectors
FROM traffic_day
WHERE day < intDiv({last_second:Int64}, 86400) * 86400 + 86400 AND day + 86400 > {first_second:Int64}
    {{and_by_collectors}}
