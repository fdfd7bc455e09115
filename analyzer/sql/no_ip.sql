-- Frames without IP, a row a collector and protocol.
SELECT toString(collector) AS collector, link_protocol, sum(frames) AS frames, sum(wire_bytes) AS wire_bytes
FROM no_ip
WHERE empty({collectors:Array(String)}) OR collector IN {collectors:Array(String)}
GROUP BY collector, link_protocol
ORDER BY collector, link_protocol
