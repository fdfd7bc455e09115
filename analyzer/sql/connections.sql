-- One row a connection that had packets in the range. Whose they are is told in `query/connections.rs`.
WITH
{{device_if_asked}}
last_heard AS
(
    SELECT collector, max(covered_until_at_ns) AS until_ns FROM batches
    WHERE covered_from_at_ns < {until_ns:Int64}
    GROUP BY collector
),
seen AS
(
    SELECT
        connections_counted.*,
        -- RFC 5382 and RFC 4787: silence that ends an established TCP connection, and UDP.
        if(protocol = 6, 7440, 120) * 1000000000 AS silence_ns,
        least({until_ns:Int64}, last_heard.until_ns) AS open_at_ns,
        toUInt8(multiIf(
            -- Nobody is at the other end of a broadcast or a group.
            bitAnd(resp_mac, 1099511627776) != 0 OR (resp_ip >= toIPv6('224.0.0.0') AND resp_ip <= toIPv6('239.255.255.255'))
                OR resp_ip >= toIPv6('ff00::') OR resp_ip = toIPv6('255.255.255.255'), 0,
            -- Never opened, or refused.
            protocol = 6 AND (only_syns = 1 OR state IN ('REJ', 'RSTOS0', 'RSTRH', 'SH', 'SHR')), 0,
            -- Closed; it was open before that.
            end IN ('fin', 'rst') OR (protocol = 6 AND state IN ('SF', 'RSTO', 'RSTR')), last_at_ns >= open_at_ns,
            last_at_ns + silence_ns >= open_at_ns)) AS is_open
    FROM ({{connections_counted}}) AS connections_counted
    LEFT JOIN last_heard ON last_heard.collector = connections_counted.collector
)
SELECT
    toString(collector) AS collector, also_seen_by,
    orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port,
    vlan_id, orig_mac, resp_mac,
    started_at_ns, last_at_ns,
    orig_packets, resp_packets, orig_wire_bytes, resp_wire_bytes, orig_payload_bytes, resp_payload_bytes,
    orig_retransmitted, resp_retransmitted,
    state, history, end, service, server_name, server_name_source, tls_version, handshake_rtt_ns, is_open
FROM seen
WHERE {{is_of_ends}}
    AND ({only_open:UInt8} = 0 OR is_open = 1)
    AND (empty({states:Array(String)}) OR state IN {states:Array(String)})
    AND last_at_ns - started_at_ns >= {longer_than_ns:Int64}
ORDER BY started_at_ns {{way}}, orig_ip {{way}}, resp_ip {{way}}, orig_port {{way}}, resp_port {{way}}, protocol {{way}}
LIMIT {limit:UInt64}
