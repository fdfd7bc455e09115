//! One decoded packet, and the flow it belongs to.

use iotq_proto::{LinkProtocol, MacAddr, Timestamp, UndecodedReason, VlanId};

/// What a frame turned out to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decoded<'a> {
    /// It has an IP header we can read. Beside the packet, what was captured above
    /// its transport header: up to the IP packet's end, of a first fragment what is
    /// in it, of ICMP the whole message. Empty for other protocols, for later
    /// fragments, and where the header is cut.
    Packet(Packet, &'a [u8]),
    /// It carries something else than IP.
    NoIp {
        /// What its link header says it carries.
        protocol: LinkProtocol,
        /// Who sent it; [`MacAddr::NONE`] where the link has no MACs.
        source: MacAddr,
    },
    /// It cannot be told where it belongs.
    Undecoded(UndecodedReason),
}

/// One IP packet, as its outermost IP header describes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// When it was captured.
    pub captured_at: Timestamp,
    /// The flow it belongs to.
    pub key: FlowKey,
    /// Whether endpoint `a` of the key sent it.
    pub from_a: bool,
    /// Length of the frame on the wire.
    pub wire_bytes: u32,
    /// Octets above the transport header, by the lengths in the IP headers.
    pub payload_bytes: u32,
    /// The twelve flag bits of the TCP header; [`Packet::NO_TCP_FLAGS`] if none were seen.
    pub tcp_flags: u16,
    /// TCP's sequence number; 0 where there are no flags.
    pub tcp_seq: u32,
    /// TCP's acknowledgment number; 0 where there are no flags.
    pub tcp_ack: u32,
}

impl Packet {
    /// In `tcp_flags`: not TCP, a later fragment, or a header cut before the flags.
    pub const NO_TCP_FLAGS: u16 = 0xffff;
}

/// A flow: five-tuple, MACs and VLAN with the direction taken out. `a` is the
/// endpoint with the lower address, then port, then MAC.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlowKey {
    /// Address of the lower endpoint, IPv4 as `::ffff:0:0/96`.
    pub a_ip: [u8; 16],
    /// Address of the other endpoint.
    pub b_ip: [u8; 16],
    /// The MAC on `a`'s side of the link.
    pub a_mac: MacAddr,
    /// The MAC on `b`'s side of the link.
    pub b_mac: MacAddr,
    /// The outermost tag.
    pub vlan: VlanId,
    /// 0 where `has_ports` is false.
    pub a_port: u16,
    /// 0 where `has_ports` is false.
    pub b_port: u16,
    /// IANA protocol number, after IPv6 extension headers.
    pub protocol: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// Whether the ports are known: not in later fragments, cut headers, or
    /// protocols without ports.
    pub has_ports: bool,
}

/// One end of a packet, before it is known which of the two is `a`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// IPv4 as `::ffff:0:0/96`.
    pub ip: [u8; 16],
    /// 0 where ports are not known.
    pub port: u16,
    /// [`MacAddr::NONE`] where the link has no MACs.
    pub mac: MacAddr,
}

/// What both ends of a flow share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shared {
    /// The outermost tag.
    pub vlan: VlanId,
    /// IANA protocol number, after IPv6 extension headers.
    pub protocol: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// Whether the ports are known.
    pub has_ports: bool,
}

impl FlowKey {
    /// The flow between two endpoints, and whether `src` is its `a`.
    #[must_use]
    pub fn between(src: Endpoint, dst: Endpoint, shared: Shared) -> (Self, bool) {
        // Field order of `Endpoint` is the order that decides.
        let from_a = src <= dst;
        let (a, b) = if from_a { (src, dst) } else { (dst, src) };
        let key = Self {
            a_ip: a.ip,
            b_ip: b.ip,
            a_mac: a.mac,
            b_mac: b.mac,
            vlan: shared.vlan,
            a_port: a.port,
            b_port: b.port,
            protocol: shared.protocol,
            ip_version: shared.ip_version,
            has_ports: shared.has_ports,
        };
        (key, from_a)
    }
}
