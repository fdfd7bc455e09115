-- Where frames without a MAC show an address, the MAC that others show there counts.
(place_collector, place_ip) -> arrayFirst(
    place -> place.1 = place_collector AND place.2 = place_ip,
    {placed:Array(Tuple(String, IPv6, UInt64, UInt16))}
) AS place_of,
(device_collector, device_vlan, device_mac, device_ip) -> if(
    device_mac = 0 AND place_of(toString(device_collector), device_ip).3 != 0,
    device_at(
        toString(device_collector),
        place_of(toString(device_collector), device_ip).4,
        place_of(toString(device_collector), device_ip).3,
        device_ip
    ),
    device_at(toString(device_collector), device_vlan, device_mac, device_ip)
)
