-- A row a connection that may have had packets in the range, of each collector.
WITH
{{device}},
whole AS
(
    SELECT
        collector, epoch, number, orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port,
        orig_mac, resp_mac, vlan_id, started_at_ns,
        max(connections.last_at_ns) AS last_at_ns,
        sum(connections.orig_packets) AS orig_packets, sum(connections.resp_packets) AS resp_packets,
        sum(connections.orig_wire_bytes) AS orig_wire_bytes, sum(connections.resp_wire_bytes) AS resp_wire_bytes,
        sum(connections.orig_payload_bytes) AS orig_payload_bytes, sum(connections.resp_payload_bytes) AS resp_payload_bytes,
        max(connections.latest) AS latest
    FROM connections
    WHERE started_at_ns < {until_ns:Int64}
        {{and_by_collectors}}
    AND ({any_device:UInt8} = 1
        OR device_of(collector, vlan_id, orig_mac, orig_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
        OR device_of(collector, vlan_id, resp_mac, resp_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    {{and_orig_in_nets}}
    GROUP BY collector, epoch, number, orig_ip, resp_ip, ip_version, protocol, has_ports, orig_port, resp_port,
        orig_mac, resp_mac, vlan_id, started_at_ns
    HAVING max(connections.last_at_ns) >= {since_ns:Int64}
)
SELECT
    fromUnixTimestamp64Nano(started_at_ns, 'UTC') AS started_at, fromUnixTimestamp64Nano(last_at_ns, 'UTC') AS last_at, toString(collector) AS collector, if(vlan_id = 65535, NULL, vlan_id) AS vlan_id,
    if(orig_mac = 0, NULL, lower(MACNumToString(orig_mac))) AS orig_mac, if(resp_mac = 0, NULL, lower(MACNumToString(resp_mac))) AS resp_mac,
    if(ip_version = 4, IPv4NumToString(toIPv4(orig_ip)), IPv6NumToString(orig_ip)) AS orig_ip, if(has_ports = 1, orig_port, NULL) AS orig_port,
    if(ip_version = 4, IPv4NumToString(toIPv4(resp_ip)), IPv6NumToString(resp_ip)) AS resp_ip, if(has_ports = 1, resp_port, NULL) AS resp_port,
    protocol, latest.state AS state, latest.history AS history, latest.end AS end,
    latest.service AS service, latest.server_name AS server_name, latest.server_name_source AS server_name_source,
    orig_packets, resp_packets, orig_wire_bytes, resp_wire_bytes, orig_payload_bytes, resp_payload_bytes
FROM whole
ORDER BY started_at
LIMIT {rows:UInt64}
