//! One packet, as those see it who read what it carries.

use iotq_proto::{MacAddr, SightingKind, Timestamp, VlanId};

use crate::{
    chunk::Sighting,
    packet::{Endpoint, Packet},
};

/// Who sent what to whom, when: a [`Packet`] with its direction put back in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When it was captured.
    pub(super) at: Timestamp,
    pub(super) src: Endpoint,
    pub(super) dst: Endpoint,
    /// The outermost tag.
    pub(super) vlan: VlanId,
    /// IANA protocol number.
    pub(super) protocol: u8,
    /// 4 or 6.
    pub(super) ip_version: u8,
    /// Octets above the transport header on the wire; fewer may have been captured.
    pub(super) payload_bytes: u32,
}

impl From<&Packet> for Seen {
    fn from(packet: &Packet) -> Self {
        let key = &packet.key;
        let a = Endpoint { ip: key.a_ip, port: key.a_port, mac: key.a_mac };
        let b = Endpoint { ip: key.b_ip, port: key.b_port, mac: key.b_mac };
        let (src, dst) = if packet.from_a { (a, b) } else { (b, a) };
        Self {
            at: packet.captured_at,
            src,
            dst,
            vlan: key.vlan,
            protocol: key.protocol,
            ip_version: key.ip_version,
            payload_bytes: packet.payload_bytes,
        }
    }
}

impl Seen {
    /// The sender showed this text of itself, at `ip` if that is known.
    pub(super) fn sighting(&self, kind: SightingKind, mac: MacAddr, ip: Option<[u8; 16]>, text: String) -> Sighting {
        Sighting { kind, vlan: self.vlan, mac, ip, prefix_len: 128, seen_at: self.at, text }
    }
}

/// Which way packets go between which ends: one half of a [`FlowKey`](crate::packet::FlowKey).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Direction {
    src: Endpoint,
    dst: Endpoint,
    vlan: VlanId,
}

impl From<&Seen> for Direction {
    fn from(seen: &Seen) -> Self {
        Self { src: seen.src, dst: seen.dst, vlan: seen.vlan }
    }
}

impl Direction {
    /// What is answered.
    pub(super) fn reversed(self) -> Self {
        Self { src: self.dst, dst: self.src, vlan: self.vlan }
    }
}
