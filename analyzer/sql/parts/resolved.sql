-- The pairs with the devices on both sides, as far as they were asked for.
SELECT
    *,
    device_of(collector, vlan_id, a_mac, a_ip) AS a_device,
    device_of(collector, vlan_id, b_mac, b_ip) AS b_device
FROM pairs
WHERE ({any_device:UInt8} = 1
        OR a_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}
        OR b_device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
    {{and_pair_in_nets}}
