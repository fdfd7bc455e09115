-- What tells routers from devices, a row for each MAC and collector that sent
-- from an address that is not local: some, and every router.
WITH
(local_ip) -> arrayExists(net -> local_ip >= net.1 AND local_ip <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))}) AS is_local,
shown AS
(
    SELECT DISTINCT toString(collector) AS collector, mac, ip FROM sightings WHERE kind IN ('arp', 'ndp')
)
SELECT
    toString(collector) AS collector,
    mac,
    toUInt64(countIf(ip_version = 4)) AS ipv4_addresses,
    -- Two are enough to know that it is more than one network.
    groupUniqArrayIf(2)(IPv6CIDRToRange(ip, 64).1, ip_version = 6) AS ipv6_networks,
    groupUniqArrayIf(1000)(ip, ip_version = 6) AS ipv6_addresses
FROM endpoints
WHERE sent_packets > 0
    AND mac != 0
    AND bitAnd(mac, 1099511627776) = 0
    AND NOT is_local(ip)
    -- These decide nothing: unspecified, loopback, multicast, broadcast.
    AND ip NOT IN (toIPv6('::'), toIPv6('::1'), toIPv6('0.0.0.0'), toIPv6('255.255.255.255'))
    AND NOT (ip >= toIPv6('127.0.0.0') AND ip <= toIPv6('127.255.255.255'))
    AND NOT (ip >= toIPv6('224.0.0.0') AND ip <= toIPv6('239.255.255.255'))
    AND NOT (ip >= toIPv6('ff00::'))
    AND (toString(collector), mac, ip) NOT IN (SELECT collector, mac, ip FROM shown)
GROUP BY collector, mac
