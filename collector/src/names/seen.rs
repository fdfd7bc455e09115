//! One packet, as those see it who read what it carries.

use std::hash::{Hash, Hasher};

use iotq_proto::{Timestamp, VlanId};

use crate::packet::{Endpoint, Packet};

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

/// Which way packets go between which ends: one half of a [`FlowKey`](crate::packet::FlowKey).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Direction {
    src: Endpoint,
    dst: Endpoint,
    vlan: VlanId,
}

/// By the five-tuple, in three words: the derived one feeds three times as many.
impl Hash for Direction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.src.ip));
        state.write_u128(u128::from_ne_bytes(self.dst.ip));
        state
            .write_u64(u64::from(self.src.port) | u64::from(self.dst.port) << 16 | u64::from(self.vlan.as_u16()) << 32);
    }
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
