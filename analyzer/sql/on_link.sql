-- What links show of themselves beyond the local networks: prefixes from Router
-- Advertisements, addresses shown by ARP and NDP, DHCP clients. Some dozens.
WITH (local_ip) -> arrayExists(net -> local_ip >= net.1 AND local_ip <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))}) AS is_local
SELECT DISTINCT toString(kind) AS kind, toString(collector) AS collector, mac, ip, prefix_len
FROM sightings
WHERE kind IN ('ra_prefix', 'dhcp_client') OR (kind IN ('arp', 'ndp') AND NOT is_local(ip))
LIMIT 100000
