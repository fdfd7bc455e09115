-- Attempts to reach somebody: those that nobody answered, those that RST refused. One row an originator, address and
-- port. Whose they are is told in `query/unanswered.rs`.
--
-- TCP: SYNs, nothing back, and nothing but SYN or RST from the originator. UDP: nothing back, to the port of a service
-- that answers each request; unicast only, and not from those who never receive anything. ICMP errors are not answers.
-- Who goes on talking on TCP connections without an answer is shown in one direction: a row an originator, of no
-- address, that says how often; whoever asks leaves out its UDP.
{{with_device}}
SELECT
    toString(collector) AS collector, vlan_id, orig_mac, orig_ip,
    if(is_one_sided, toIPv6('::'), resp_ip) AS to_ip, if(is_one_sided, 0, resp_port) AS to_port, protocol,
    countIf(is_unanswered AND in_range) AS attempts,
    sumIf(orig_syns, is_unanswered AND in_range AND protocol = 6) AS syns,
    countIf(is_refused AND in_range) AS refused,
    sumIf(unreachable, is_unanswered AND in_range) AS unreachable,
    groupArrayIf(10000)(started_at_ns, is_unanswered AND in_range) AS attempts_at_ns,
    minIf(started_at_ns, in_range) AS first_at_ns,
    maxIf(last_at_ns, in_range) AS last_at_ns,
    min(started_at_ns) AS since_at_ns,
    countIf(is_one_sided) AS one_sided
FROM
(
    SELECT
        *,
        started_at_ns >= {range_since_ns:Int64} AS in_range,
        protocol = 6 AND state = 'REJ' AS is_refused,
        protocol = 6 AND resp_packets = 0 AND only_syns = 0 AND orig_packets > 2 AS is_one_sided,
        resp_packets = 0 AND (
            (protocol = 6 AND only_syns = 1 AND orig_syns > 0)
            OR (protocol = 17 AND state = 'S0' AND resp_port IN {answering_ports:Array(UInt16)}
                AND bitAnd(resp_mac, 1099511627776) = 0
                AND NOT (resp_ip >= toIPv6('224.0.0.0') AND resp_ip <= toIPv6('239.255.255.255'))
                AND NOT (resp_ip >= toIPv6('ff00::'))
                AND (collector, orig_mac, orig_ip) IN (
                    SELECT collector, mac, ip FROM endpoints GROUP BY collector, mac, ip HAVING sum(endpoints.received_packets) > 0))) AS is_unanswered
    FROM ({{connections_counted}})
    WHERE is_refused OR is_unanswered OR is_one_sided
)
WHERE {{is_of_orig}}
GROUP BY collector, vlan_id, orig_mac, orig_ip, to_ip, to_port, protocol
HAVING attempts > 0 OR refused > 0 OR one_sided > 0
ORDER BY collector, orig_mac, vlan_id, orig_ip, to_ip, to_port
