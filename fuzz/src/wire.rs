//! Packets between a client and a server, as their selectors say.

use iotq_collector::packet::{Endpoint, FlowKey, Packet, Shared};
use iotq_proto::{MacAddr, Timestamp, VlanId};

/// In selectors: the server sent it.
pub const FROM_SERVER: u8 = 0x80;
/// In selectors: over IPv6.
pub const V6: u8 = 0x08;
/// In selectors of TCP: it has SYN set.
pub const SYN: u8 = 0x40;
/// In selectors of TCP: octets before it are missing.
pub const GAP: u8 = 0x20;
/// In selectors of TCP: it begins before where the one before ended.
pub const AGAIN: u8 = 0x10;

/// Two ends, and where their streams are.
pub struct Wire {
    protocol: u8,
    ports: &'static [u16],
    /// Of the client's stream and the server's.
    seqs: [u32; 2],
    packets: i64,
}

impl Wire {
    /// With servers on these ports; selectors choose with their low bits.
    pub fn new(protocol: u8, ports: &'static [u16]) -> Self {
        // The client's stream passes the end of the numbers soon.
        Self { protocol, ports, seqs: [u32::MAX - 100, 7], packets: 0 }
    }

    /// The next packet.
    pub fn packet(&mut self, selector: u8, payload: &[u8]) -> Packet {
        let port = self.ports.get(usize::from(selector & 0x07) % self.ports.len()).copied().unwrap_or_default();
        let is_v6 = selector & V6 != 0;
        let network = if is_v6 {
            [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]
        } else {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        };
        let end = |host: u8, port| Endpoint {
            ip: std::array::from_fn(|at| network.get(at).copied().unwrap_or(if at == 15 { host } else { 0 })),
            port,
            mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, host]),
        };
        let (client, server) = (end(10, 40_000), end(53, port));
        let is_from_server = selector & FROM_SERVER != 0;
        let (src, dst) = if is_from_server { (server, client) } else { (client, server) };
        let shared = Shared {
            vlan: VlanId::UNTAGGED,
            protocol: self.protocol,
            ip_version: if is_v6 { 6 } else { 4 },
            has_ports: true,
        };
        let (key, from_a) = FlowKey::between(src, dst, shared);
        let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.packets += 1;
        let mut packet = Packet {
            // Far enough apart that questions are given up now and then.
            captured_at: Timestamp::from_nanos(self.packets * 700_000_000).unwrap_or_default(),
            key,
            from_a,
            wire_bytes: payload_bytes.saturating_add(54),
            payload_bytes,
            tcp_flags: Packet::NO_TCP_FLAGS,
            tcp_seq: 0,
            tcp_ack: 0,
        };
        if self.protocol == TCP {
            let [seq, ack] = &mut self.seqs;
            let (seq, ack) = if is_from_server { (ack, seq) } else { (seq, ack) };
            let syn = selector & SYN != 0;
            if selector & GAP != 0 {
                *seq = seq.wrapping_add(50);
            }
            if selector & AGAIN != 0 {
                *seq = seq.wrapping_sub(20);
            }
            (packet.tcp_seq, packet.tcp_ack) = (*seq, *ack);
            packet.tcp_flags = if syn { 0x002 } else { 0x018 };
            *seq = seq.wrapping_add(payload_bytes).wrapping_add(u32::from(syn));
        }
        packet
    }
}

/// IANA "Assigned Internet Protocol Numbers".
pub const TCP: u8 = 6;
/// The same.
pub const UDP: u8 = 17;
