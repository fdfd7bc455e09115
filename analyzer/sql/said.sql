-- What devices said of themselves.
SELECT
    toString(kind) AS kind, toString(collector) AS collector, vlan_id, mac, ip, text,
    min(first_at_ns) AS first_at_ns, max(last_at_ns) AS last_at_ns
FROM sightings
WHERE kind IN ('dhcp_host_name', 'dhcp_vendor_class', 'dhcp_lease', 'mdns_host_name', 'mdns_service', 'ssdp_server', 'netbios_name')
GROUP BY kind, collector, vlan_id, mac, ip, text
ORDER BY last_at_ns DESC
LIMIT 100000
