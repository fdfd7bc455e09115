-- The traffic of each device: what it sent, and the unicast sent to it. Traffic
-- between two devices is here twice, traffic of a device with itself once.
SELECT
    at, side.1 AS device, side.4 AS peer_device, side.5 AS peer_ip,
    -- The group bit of the MAC: broadcast and multicast count for the sender.
    if(bitAnd(side.3, 1099511627776) = 0, side.7, 0) AS received_packets,
    side.6 + received_packets AS packets,
    side.8 + if(bitAnd(side.3, 1099511627776) = 0, side.9, 0) AS wire_bytes
FROM resolved
ARRAY JOIN [
    (a_device, a_ip, a_mac, b_device, b_ip, a_packets, b_packets, a_wire_bytes, b_wire_bytes, 0),
    (b_device, b_ip, b_mac, a_device, a_ip, b_packets, a_packets, b_wire_bytes, a_wire_bytes, a_device = b_device)
] AS side
WHERE side.10 = 0
    AND device != (0, 65535, toIPv6('::'))
    AND packets > 0
    AND ({any_device:UInt8} = 1 OR device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
