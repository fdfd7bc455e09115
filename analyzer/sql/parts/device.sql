-- Lambdas that tell whose an endpoint is; see ARCHITECTURE.md, "Devices". A
-- device is (MAC, VLAN, `::`), or (0, 0xffff, address) where the address is all
-- there is; (0, 0xffff, `::`) is no device of ours.
(local_ip) -> arrayExists(net -> local_ip >= net.1 AND local_ip <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))}) AS is_local,
(link_collector, link_mac, link_ip) -> arrayExists(
    link -> link.1 = link_collector AND link.2 IN (0, link_mac) AND link_ip >= link.3 AND link_ip <= link.4,
    {on_link:Array(Tuple(String, UInt64, IPv6, IPv6))}
) AS is_on_link,
(device_collector, device_vlan, device_mac, device_ip) -> multiIf(
    device_mac != 0
        AND bitAnd(device_mac, 1099511627776) = 0
        AND (toString(device_collector), device_mac) NOT IN {routers:Array(Tuple(String, UInt64))}
        AND (is_local(device_ip) OR device_ip IN (toIPv6('::'), toIPv6('0.0.0.0')) OR is_on_link(toString(device_collector), device_mac, device_ip)),
    (
        device_mac,
        if(device_vlan = 0 OR (toString(device_collector), device_mac) IN {half_tagged:Array(Tuple(String, UInt64))}, toUInt16(65535), device_vlan),
        toIPv6('::')
    ),
    is_local(device_ip),
    (toUInt64(0), toUInt16(65535), device_ip),
    (toUInt64(0), toUInt16(65535), toIPv6('::'))
) AS device_of
