-- Lambdas that tell whose an endpoint is; see ARCHITECTURE.md, "Devices". A
-- device is (MAC, VLAN, `::`), or (0, 0xffff, address) where the address is all
-- there is; (0, 0xffff, `::`) is no device of ours.
(local_ip) -> arrayExists(net -> local_ip >= net.1 AND local_ip <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))}) AS is_local,
(link_collector, link_vlan, link_mac, link_ip) -> multiIf(
    link_mac != 0
        AND bitAnd(link_mac, 1099511627776) = 0
        AND (link_collector, link_mac) NOT IN {routers:Array(Tuple(String, UInt64))}
        AND (is_local(link_ip) OR link_ip IN (toIPv6('::'), toIPv6('0.0.0.0')){{or_on_link}}),
    (
        link_mac,
        if(link_vlan = 0{{or_half_tagged}}, toUInt16(65535), link_vlan),
        toIPv6('::')
    ),
    is_local(link_ip),
    (toUInt64(0), toUInt16(65535), link_ip),
    (toUInt64(0), toUInt16(65535), toIPv6('::'))
) AS device_at,
{{device_of}} AS device_of
