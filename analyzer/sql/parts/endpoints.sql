SELECT collector, vlan_id, side.1 AS mac, side.2 AS ip, hour, awake_minutes, side.3 AS packets
FROM {{their_pairs}}
-- The group bit of the MAC: broadcast and multicast count for the sender.
ARRAY JOIN [
    (a_mac, a_ip, a_packets + if(bitAnd(a_mac, 1099511627776) = 0, b_packets, 0)),
    (b_mac, b_ip, b_packets + if(bitAnd(b_mac, 1099511627776) = 0, a_packets, 0))
] AS side
WHERE packets > 0
    {{and_pair_in_nets}}
