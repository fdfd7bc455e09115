//! ICMP errors quote the packet they are about (RFC 792; RFC 4443, section 3).

use super::connection::Key;
use crate::packet::{Endpoint, FlowKey, Packet, Shared};
use iotq_proto::VlanId;

/// The five-tuple that an ICMP error quotes; `None`: it is no error, or quotes too
/// little.
pub(super) fn key_of(packet: &Packet, message: &[u8]) -> Option<Key> {
    let (kind, quoted) = (message.first()?, message.get(HEADER_BYTES..)?);
    match (packet.key.protocol, kind) {
        // Destination Unreachable, Time Exceeded, Parameter Problem. Source Quench
        // and Redirect are no failures.
        (ICMP, 3 | 11 | 12) => key_of_v4(quoted),
        // The same, without Packet Too Big.
        (ICMPV6, 1 | 3 | 4) => key_of_v6(quoted),
        _ => None,
    }
}

/// RFC 791, section 3.1.
fn key_of_v4(quoted: &[u8]) -> Option<Key> {
    let &[first, _, _, _, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = quoted.first_chunk()?;
    let header_bytes = usize::from(first & 0x0f) * 4;
    let is_later_fragment = u16::from_be_bytes([f0, f1]) & 0x1fff != 0;
    if first >> 4 != 4 || header_bytes < 20 || is_later_fragment {
        return None;
    }
    let mapped = |[a, b, c, d]: [u8; 4]| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
    key(protocol, mapped([s0, s1, s2, s3]), mapped([d0, d1, d2, d3]), quoted.get(header_bytes..)?)
}

/// RFC 8200, section 3. Behind extension headers nothing is looked for: what
/// devices send that is refused has none.
fn key_of_v6(quoted: &[u8]) -> Option<Key> {
    let &[first, _, _, _, _, _, protocol, _] = quoted.first_chunk()?;
    let (src, dst) = (quoted.get(8..)?.first_chunk()?, quoted.get(24..)?.first_chunk()?);
    if first >> 4 == 6 { key(protocol, *src, *dst, quoted.get(40..)?) } else { None }
}

fn key(protocol: u8, src: [u8; 16], dst: [u8; 16], transport: &[u8]) -> Option<Key> {
    let has_ports = matches!(protocol, 6 | 17 | 33 | 132 | 136);
    let (src_port, dst_port) = if has_ports {
        let &[s0, s1, d0, d1] = transport.first_chunk()?;
        (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]))
    } else {
        (0, 0)
    };
    let end = |ip, port| Endpoint { ip, port, ..Endpoint::default() };
    let shared = Shared { vlan: VlanId::UNTAGGED, protocol, ip_version: 0, has_ports };
    Some(Key::from(&FlowKey::between(end(src, src_port), end(dst, dst_port), shared).0))
}

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Type, code, checksum, and four octets that depend on the type.
const HEADER_BYTES: usize = 8;
