//! The outermost IP header: addresses, lengths, extension headers, fragments.
//!
//! Only what leaves open where a packet belongs is refused. What merely looks
//! wrong was on the wire all the same: checksums are not looked at, and a length
//! that reaches past the end of the frame is believed, because it is what the
//! sender meant (tools that cut frames write the cut length as the wire's).

use etherparse::IpNumber;
use iotq_proto::UndecodedReason;

use super::{
    Frame, Link, WithPayload,
    bytes::{after, be16, chunk, octet},
    neighbours,
    transport::{self, Transport},
};
use crate::{
    chunk::Sighting,
    packet::{Endpoint, FlowKey, Packet, Shared},
};

/// Reads an IPv4 packet (RFC 791, section 3.1).
#[inline]
pub(super) fn read_v4<'a>(
    frame: &Frame<'_>,
    link: &Link,
    bytes: &'a [u8],
    sightings: &mut Vec<Sighting>,
) -> Result<WithPayload<'a>, UndecodedReason> {
    let Some(&first) = bytes.first() else {
        return Err(UndecodedReason::IpHeaderCut);
    };
    match first >> 4 {
        4 => {}
        // Some stacks put either under EtherType 0x0800; the version decides, as in tshark.
        6 => return read_v6(frame, link, bytes, sightings),
        _ => return Err(UndecodedReason::IpVersion),
    }
    let header_bytes = usize::from(first & 0x0f) * 4;
    if header_bytes < MIN_V4_HEADER_BYTES {
        return Err(UndecodedReason::IpHeaderLength);
    }
    let Some(&[_, _, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3]) = bytes.first_chunk()
    else {
        return Err(UndecodedReason::IpHeaderCut);
    };
    let total_bytes = match usize::from(u16::from_be_bytes([l0, l1])) {
        // Left to the sender's network card (TSO): the wire knows.
        0 => wire_bytes_from(frame, bytes),
        total_bytes if total_bytes < header_bytes => return Err(UndecodedReason::IpTotalLength),
        total_bytes => total_bytes,
    };
    let body_bytes = total_bytes.saturating_sub(header_bytes);
    let is_later_fragment = u16::from_be_bytes([f0, f1]) & FRAGMENT_OFFSET != 0;
    let body = if is_later_fragment { None } else { after(bytes, header_bytes).map(|body| up_to(body, body_bytes)) };
    let packet = Fields {
        ip_version: 4,
        protocol: IpNumber(protocol),
        src_ip: mapped([s0, s1, s2, s3]),
        dst_ip: mapped([d0, d1, d2, d3]),
        body,
        body_bytes,
    };
    Ok(packet.finish(frame, link, sightings))
}

/// Reads an IPv6 packet (RFC 8200, sections 3 and 4).
#[inline]
pub(super) fn read_v6<'a>(
    frame: &Frame<'_>,
    link: &Link,
    bytes: &'a [u8],
    sightings: &mut Vec<Sighting>,
) -> Result<WithPayload<'a>, UndecodedReason> {
    if bytes.first().is_some_and(|first| first >> 4 != 6) {
        return Err(UndecodedReason::IpVersion);
    }
    let (Some(&[_, _, _, _, l0, l1, next_header, hop_limit]), Some(src_ip), Some(dst_ip), Some(rest)) =
        (bytes.first_chunk(), chunk(bytes, 8), chunk(bytes, 24), after(bytes, V6_HEADER_BYTES))
    else {
        return Err(UndecodedReason::IpHeaderCut);
    };
    let rest_bytes = match usize::from(u16::from_be_bytes([l0, l1])) {
        // A jumbogram (RFC 2675), or left to the network card: the wire knows.
        0 => wire_bytes_from(frame, rest),
        payload_bytes => payload_bytes,
    };
    let extensions = Extensions::read(IpNumber(next_header), up_to(rest, rest_bytes));
    if extensions.protocol == IpNumber::IPV6_ICMP && !extensions.is_fragment && hop_limit == UNFORWARDED {
        neighbours::see_ndp(frame, link, src_ip, extensions.body.unwrap_or_default(), sightings);
    }
    let packet = Fields {
        ip_version: 6,
        protocol: extensions.protocol,
        src_ip,
        dst_ip,
        body: extensions.body,
        body_bytes: rest_bytes.saturating_sub(extensions.bytes),
    };
    Ok(packet.finish(frame, link, sightings))
}

/// What both versions say, each in its own way.
struct Fields<'a> {
    ip_version: u8,
    protocol: IpNumber,
    src_ip: [u8; 16],
    dst_ip: [u8; 16],
    /// What was captured above the IP headers, without padding; `None`: the
    /// transport header is in another fragment, or behind the cut.
    body: Option<&'a [u8]>,
    /// How long it was on the wire.
    body_bytes: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    fn finish(self, frame: &Frame<'_>, link: &Link, sightings: &mut Vec<Sighting>) -> WithPayload<'a> {
        let transport = self.body.map_or(Transport::NONE, |body| transport::read(self.protocol, body));
        let src = Endpoint { ip: self.src_ip, port: transport.src_port, mac: link.src };
        let dst = Endpoint { ip: self.dst_ip, port: transport.dst_port, mac: link.dst };
        if self.protocol == IpNumber::UDP && transport.is_from_dhcp_client() {
            neighbours::see_dhcp_client(frame, link, src.ip, sightings);
        }
        let shared = Shared {
            vlan: link.vlan,
            protocol: self.protocol.0,
            ip_version: self.ip_version,
            has_ports: transport.has_ports,
        };
        let (key, from_a) = FlowKey::between(src, dst, shared);
        let payload_bytes = self.body_bytes.saturating_sub(transport.header_bytes);
        let packet = Packet {
            captured_at: frame.captured_at,
            key,
            from_a,
            wire_bytes: frame.wire_bytes,
            payload_bytes: u32::try_from(payload_bytes).unwrap_or(u32::MAX),
            tcp_flags: transport.tcp_flags,
            tcp_seq: transport.tcp_seq,
            tcp_ack: transport.tcp_ack,
        };
        let payload = match self.protocol {
            IpNumber::TCP | IpNumber::UDP => self.body.and_then(|body| after(body, transport.header_bytes)),
            IpNumber::ICMP | IpNumber::IPV6_ICMP => self.body,
            _ => None,
        };
        (packet, payload.unwrap_or_default())
    }
}

/// The IPv6 extension headers of a packet (RFC 8200, section 4).
///
/// Read through are those that only route or cut up what they carry. AH, ESP,
/// Mobility, HIP and Shim6 are extension headers to IANA too, but are what the
/// packet is about; they stay its protocol, as AH and ESP do in IPv4.
struct Extensions<'a> {
    /// What comes after those that were read.
    protocol: IpNumber,
    /// How long they were.
    bytes: usize,
    /// What was captured behind them; `None` if it is not the begin of `protocol`.
    body: Option<&'a [u8]>,
    is_fragment: bool,
}

impl<'a> Extensions<'a> {
    #[inline]
    fn read(next_header: IpNumber, bytes: &'a [u8]) -> Self {
        let mut extensions = Self { protocol: next_header, bytes: 0, body: Some(bytes), is_fragment: false };
        for _ in 0..MAX_EXTENSION_HEADERS {
            let Some(header) = extensions.body else {
                break;
            };
            let length = match extensions.protocol {
                IpNumber::IPV6_HEADER_HOP_BY_HOP | IpNumber::IPV6_ROUTE_HEADER | IpNumber::IPV6_DESTINATION_OPTIONS => {
                    octet(header, 1).map(|units| (usize::from(units) + 1) * 8)
                }
                IpNumber::IPV6_FRAGMENTATION_HEADER => {
                    extensions.is_fragment = true;
                    Some(8)
                }
                _ => break,
            };
            // What a later fragment carries is not the begin of anything.
            let is_later_fragment = extensions.protocol == IpNumber::IPV6_FRAGMENTATION_HEADER
                && be16(header, 2).is_none_or(|offset_and_flags| offset_and_flags >> 3 != 0);
            extensions.body = match length {
                Some(length) if !is_later_fragment => after(header, length),
                _ => None,
            };
            extensions.bytes += length.unwrap_or(0);
            match octet(header, 0) {
                Some(next_header) => extensions.protocol = IpNumber(next_header),
                None => extensions.body = None,
            }
        }
        extensions
    }
}

/// How long the frame goes on, on the wire, from the first of these octets,
/// which are the last ones of those captured.
fn wire_bytes_from(frame: &Frame<'_>, rest: &[u8]) -> usize {
    let before = frame.bytes.len().saturating_sub(rest.len());
    usize::try_from(frame.wire_bytes).unwrap_or(usize::MAX).saturating_sub(before)
}

/// At most the first `count` octets: behind them is padding.
fn up_to(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(..count).unwrap_or(bytes)
}

/// As `::ffff:0:0/96`.
fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

const MIN_V4_HEADER_BYTES: usize = 20;
const V6_HEADER_BYTES: usize = 40;
/// Of the field that holds it; the rest are flags.
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// RFC 4861, sections 6.1 and 7.1: this hop limit proves that no router passed it on.
const UNFORWARDED: u8 = 255;
/// RFC 8200 names each at most once, destination options twice.
const MAX_EXTENSION_HEADERS: usize = 32;
