-- How much of what devices exchanged with peers was encrypted: packets with
-- payload on connections that had packets in the range. Where nothing told what
-- was spoken, because the beginning was not seen, the port has to do.
WITH
{{device}},
seen AS
(
    SELECT
        payload_packets,
        (service IN ('tls', 'quic', 'dtls')) OR (service = '' AND resp_port IN {encrypted_ports:Array(UInt16)}) AS is_encrypted,
        orig_ip, resp_ip,
        device_of(collector, vlan_id, orig_mac, orig_ip) AS orig_device,
        device_of(collector, vlan_id, resp_mac, resp_ip) AS resp_device
    FROM ({{connections_counted}})
    WHERE payload_packets > 0
)
SELECT
    device.1 AS mac, device.2 AS vlan_id, device.3 AS ip, peer_ip,
    sumIf(payload_packets, is_encrypted) AS encrypted, sum(payload_packets) AS packets
FROM seen
ARRAY JOIN [(orig_device, resp_ip), (resp_device, orig_ip)] AS side
WHERE (side.1 AS device) != (0, 65535, toIPv6('::'))
    AND ({any_device:UInt8} = 1 OR device IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})
GROUP BY device, side.2 AS peer_ip
