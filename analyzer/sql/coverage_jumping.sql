-- How complete a range is that batches of more than a year reach into: no file is that long, its clock
-- jumped. They cover the days on which their collectors have packets.
WITH
days AS
(
    SELECT
        toString(collector) AS collector,
        groupUniqArray((day * 1000000000, (day + 86400) * 1000000000)) AS stretches
    FROM traffic_day
    WHERE collector IN (SELECT collector FROM batches WHERE covered_until_at_ns - covered_from_at_ns > {longest_ns:Int64})
    GROUP BY collector
),
reaching AS
(
    SELECT
        batches.collector AS collector, frames, lost, undecoded,
        arrayFilter(
            one -> one.1 < {until_ns:Int64} AND one.2 > {since_ns:Int64} AND one.1 < covered_until_at_ns AND one.2 > covered_from_at_ns,
            if(covered_until_at_ns - covered_from_at_ns > {longest_ns:Int64},
                days.stretches,
                [(covered_from_at_ns, covered_until_at_ns)])) AS stretches
    FROM batches
    LEFT JOIN days ON days.collector = toString(batches.collector)
    WHERE covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64}
        AND (empty({collectors:Array(String)}) OR batches.collector IN {collectors:Array(String)})
        AND notEmpty(stretches)
)
SELECT
    uniqExact(collector) AS collectors_reporting,
    sum(frames) AS frames,
    sumMap(CAST(lost, 'Map(String, UInt64)')) AS lost,
    sum(arraySum(mapValues(undecoded))) AS undecoded,
    assumeNotNull((
        SELECT toInt64(intervalLengthSum(greatest(one.1, {since_ns:Int64}), greatest(least(one.2, {until_ns:Int64}), greatest(one.1, {since_ns:Int64}))))
        FROM (SELECT DISTINCT arrayJoin(stretches) AS one FROM reaching)
    )) AS covered_ns
FROM reaching
