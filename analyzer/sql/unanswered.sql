-- Attempts to reach somebody: those that nobody answered, those that RST refused.
-- One row an originator, address and port.
--
-- TCP: SYNs, nothing back, and nothing but SYN or RST from the originator. UDP:
-- nothing back, to the port of a service that answers each request; unicast only,
-- and not from those of whom the mirror shows one direction: who never receives
-- anything, or goes on talking on TCP connections without an answer. ICMP errors are
-- not answers.
WITH
{{device}},
receivers AS
(
    SELECT collector, mac, ip FROM endpoints GROUP BY collector, mac, ip HAVING sum(endpoints.received_packets) > 0
),
one_sided AS
(
    SELECT collector, orig_mac, orig_ip FROM ({{connections_counted}})
    WHERE protocol = 6 AND resp_packets = 0 AND only_syns = 0 AND orig_packets > 2
),
seen AS
(
    SELECT
        *,
        device_of(collector, vlan_id, orig_mac, orig_ip) AS orig_device,
        protocol = 6 AND state = 'REJ' AS is_refused,
        resp_packets = 0 AND (
            (protocol = 6 AND only_syns = 1 AND orig_syns > 0)
            OR (protocol = 17 AND state = 'S0' AND resp_port IN {answering_ports:Array(UInt16)}
                AND bitAnd(resp_mac, 1099511627776) = 0
                AND NOT (resp_ip >= toIPv6('224.0.0.0') AND resp_ip <= toIPv6('239.255.255.255'))
                AND NOT (resp_ip >= toIPv6('ff00::'))
                AND (collector, orig_mac, orig_ip) IN (SELECT collector, mac, ip FROM receivers)
                AND (collector, orig_mac, orig_ip) NOT IN (SELECT collector, orig_mac, orig_ip FROM one_sided))) AS is_unanswered
    FROM ({{connections_counted}})
    WHERE is_refused OR is_unanswered
)
SELECT
    orig_device.1 AS mac, orig_device.2 AS vlan_id, orig_device.3 AS ip,
    orig_ip, resp_ip, resp_port, protocol,
    countIf(is_unanswered AND in_range) AS attempts,
    sumIf(orig_syns, is_unanswered AND in_range AND protocol = 6) AS syns,
    countIf(is_refused AND in_range) AS refused,
    sumIf(unreachable, is_unanswered AND in_range) AS unreachable,
    groupArrayIf(10000)(started_at_ns, is_unanswered AND in_range) AS attempts_at_ns,
    minIf(started_at_ns, in_range) AS first_at_ns,
    maxIf(last_at_ns, in_range) AS last_at_ns,
    min(started_at_ns) AS since_at_ns
FROM (SELECT *, started_at_ns >= {range_since_ns:Int64} AS in_range FROM seen)
WHERE {any_device:UInt8} = 1 OR orig_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
GROUP BY orig_device, orig_ip, resp_ip, resp_port, protocol
HAVING attempts > 0 OR refused > 0
ORDER BY attempts DESC, mac, vlan_id, ip, orig_ip, resp_ip, resp_port
