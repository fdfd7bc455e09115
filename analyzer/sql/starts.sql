-- When connections were opened to peers that answered: one row an originator, address, port and name. Whose they are, and
-- which peers are outside, is told in `query/keepalives.rs`.
{{with_device}}
SELECT
    toString(collector) AS collector, vlan_id, orig_mac, orig_ip,
    resp_ip, resp_port, protocol, server_name, server_name_source,
    groupArray(50000)((started_at_ns, orig_wire_bytes + resp_wire_bytes)) AS starts,
    max(last_at_ns) AS last_at_ns
FROM ({{connections_counted}})
WHERE started_at_ns >= {since_ns:Int64}
    AND has_ports = 1
    AND resp_packets > 0 AND orig_packets > 0
    AND state NOT IN ('REJ', 'S0', 'SH', 'SHR', 'RSTOS0', 'RSTRH')
    AND resp_port NOT IN {other_ports:Array(UInt16)}
    AND service NOT IN ('dns', 'mdns', 'llmnr', 'dhcp', 'ntp')
    AND {{is_of_orig}}
GROUP BY collector, vlan_id, orig_mac, orig_ip, resp_ip, resp_port, protocol, server_name, server_name_source
ORDER BY orig_mac, vlan_id, orig_ip, resp_ip, resp_port, protocol, server_name, collector
