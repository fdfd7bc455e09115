-- Endpoints of addresses that are not local are nobody's without a MAC that tells, and behind a router.
(arrayExists(net -> ip >= net.1 AND ip <= net.2, {local_nets:Array(Tuple(IPv6, IPv6))})
    OR (mac != 0 AND bitAnd(mac, 1099511627776) = 0 AND (collector, mac) NOT IN {routers:Array(Tuple(String, UInt64))})
    OR (mac = 0 AND notEmpty({placed:Array(Tuple(String, IPv6, UInt64, UInt16))})))
