-- Connections that had packets in the range, a row each, with what is known of
-- them now: those that began before its end, and last past its begin. Where
-- several collectors saw the same (their rows of a five-tuple overlap), those of
-- the one that saw most packets count.
SELECT
    *,
    -- Names of the columns as in the message.
    latest.end AS end, latest.state AS state, latest.history AS history, latest.only_syns AS only_syns,
    latest.service AS service, latest.server_name AS server_name, latest.server_name_source AS server_name_source,
    latest.tls_version AS tls_version, latest.handshake_rtt_ns AS handshake_rtt_ns
FROM
(
    SELECT
        collector, epoch, number, orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port,
        orig_mac, resp_mac, vlan_id, started_at_ns,
        max(connections.last_at_ns) AS last_at_ns,
        sum(connections.orig_packets) AS orig_packets, sum(connections.resp_packets) AS resp_packets,
        sum(connections.orig_wire_bytes) AS orig_wire_bytes, sum(connections.resp_wire_bytes) AS resp_wire_bytes,
        sum(connections.orig_payload_bytes) AS orig_payload_bytes, sum(connections.resp_payload_bytes) AS resp_payload_bytes,
        sum(connections.payload_packets) AS payload_packets,
        sum(connections.orig_retransmitted) AS orig_retransmitted, sum(connections.resp_retransmitted) AS resp_retransmitted,
        sum(connections.orig_syns) AS orig_syns, sum(connections.unreachable) AS unreachable,
        max(connections.latest) AS latest
    FROM connections
    WHERE started_at_ns < {until_ns:Int64}
        -- Rows of one connection need not be merged yet: all of them are wanted.
        AND started_at_ns >= (
            SELECT min(started_at_ns) FROM connections WHERE last_at_ns >= {since_ns:Int64} AND started_at_ns < {until_ns:Int64})
        {{and_by_collectors}}
        {{and_orig_in_nets}}
    GROUP BY
        collector, epoch, number, orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port,
        orig_mac, resp_mac, vlan_id, started_at_ns
    HAVING last_at_ns >= {since_ns:Int64}
)
