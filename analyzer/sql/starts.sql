-- When devices opened connections to peers outside that answered: one row a
-- device, address, port and name.
WITH
{{device}},
seen AS
(
    SELECT *, device_of(collector, vlan_id, orig_mac, orig_ip) AS orig_device
    FROM ({{connections_counted}})
    WHERE started_at_ns >= {since_ns:Int64}
        AND has_ports = 1
        AND resp_packets > 0 AND orig_packets > 0
        AND state NOT IN ('REJ', 'S0', 'SH', 'SHR', 'RSTOS0', 'RSTRH')
        AND resp_port NOT IN {other_ports:Array(UInt16)}
        AND service NOT IN ('dns', 'mdns', 'llmnr', 'dhcp', 'ntp')
        AND is_outside(resp_ip)
)
SELECT
    orig_device.1 AS mac, orig_device.2 AS vlan_id, orig_device.3 AS ip,
    resp_ip, resp_port, protocol, server_name, server_name_source,
    groupArray(50000)((started_at_ns, orig_wire_bytes + resp_wire_bytes)) AS starts,
    max(last_at_ns) AS last_at_ns
FROM seen
WHERE orig_device != (0, 65535, toIPv6('::'))
    AND ({any_device:UInt8} = 1 OR orig_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
GROUP BY orig_device, resp_ip, resp_port, protocol, server_name, server_name_source
ORDER BY mac, vlan_id, ip, resp_ip, resp_port, protocol, server_name
