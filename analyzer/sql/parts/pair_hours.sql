(
    -- Minutes and seconds put together first: their arrays would be sixty times as long.
    SELECT
        collector, hour, vlan_id, a_mac, b_mac, a_ip, b_ip,
        groupBitOr(pairs.awake_minutes) AS awake_minutes,
        sum(pairs.a_packets) AS a_packets, sum(pairs.b_packets) AS b_packets,
        sum(pairs.a_wire_bytes) AS a_wire_bytes, sum(pairs.b_wire_bytes) AS b_wire_bytes
    FROM pairs
    GROUP BY collector, hour, vlan_id, a_mac, b_mac, a_ip, b_ip
) AS pairs
