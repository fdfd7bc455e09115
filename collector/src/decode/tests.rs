//! Frames written down octet by octet, and what they have to turn out to be.

mod ip;
mod links;
mod properties;
mod sightings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use iotq_proto::{LinkProtocol, MacAddr, Timestamp, UndecodedReason, VlanId};

use super::{Frame, LinkType, decode};
use crate::{
    chunk::Sighting,
    packet::{Decoded, Packet},
};

const AT: i64 = 1_700_000_000_123_456_789;
/// Who sends in these tests.
const SRC_MAC: &str = "00:00:5e:00:53:01";

/// What was captured is all of the frame.
fn decoded(link_type: LinkType, bytes: &[u8]) -> Decoded<'_> {
    decoded_cut(link_type, bytes, u32::try_from(bytes.len()).unwrap())
}

fn decoded_cut(link_type: LinkType, bytes: &[u8], wire_bytes: u32) -> Decoded<'_> {
    let frame = Frame { captured_at: Timestamp::from_nanos(AT).unwrap(), wire_bytes, bytes };
    decode(link_type, frame, &mut Vec::new())
}

fn sightings(link_type: LinkType, bytes: &[u8]) -> Vec<Sighting> {
    let wire_bytes = u32::try_from(bytes.len()).unwrap();
    let frame = Frame { captured_at: Timestamp::from_nanos(AT).unwrap(), wire_bytes, bytes };
    let mut sightings = Vec::new();
    let _ = decode(link_type, frame, &mut sightings);
    sightings
}

fn packet(link_type: LinkType, bytes: &[u8]) -> Packet {
    match decoded(link_type, bytes) {
        Decoded::Packet(packet, _) => packet,
        other => panic!("no packet, but {other:?}: {bytes:02x?}"),
    }
}

/// `src_mac src:port > dst_mac dst:port protocol vlan payload flags`, as far as known.
fn line(packet: &Packet) -> String {
    let key = &packet.key;
    let ip = |octets: [u8; 16]| match key.ip_version {
        4 => IpAddr::V4(Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15])),
        _ => IpAddr::V6(Ipv6Addr::from(octets)),
    };
    let (a, b) = ((key.a_mac, ip(key.a_ip), key.a_port), (key.b_mac, ip(key.b_ip), key.b_port));
    let (src, dst) = if packet.from_a { (a, b) } else { (b, a) };
    let end = |(mac, ip, port): (MacAddr, IpAddr, u16)| {
        let mac = if mac == MacAddr::NONE { String::new() } else { format!("{mac} ") };
        if key.has_ports { format!("{mac}{ip}.{port}") } else { format!("{mac}{ip}") }
    };
    let vlan = if key.vlan == VlanId::UNTAGGED { String::new() } else { format!(" vlan {}", key.vlan) };
    let flags = match packet.tcp_flags {
        Packet::NO_TCP_FLAGS => String::new(),
        flags => format!(" {flags:#05x}"),
    };
    format!("{} > {} {}{vlan} +{}{flags}", end(src), end(dst), key.protocol, packet.payload_bytes)
}

fn no_ip(protocol: LinkProtocol) -> Decoded<'static> {
    Decoded::NoIp { protocol, source: SRC_MAC.parse().unwrap() }
}

fn undecoded(reason: UndecodedReason) -> Decoded<'static> {
    Decoded::Undecoded(reason)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An Ethernet header from [`SRC_MAC`] to 00:00:5e:00:53:02, then `rest`.
fn ethernet(code: u16, rest: &[u8]) -> Vec<u8> {
    join(&[&hex("00005e005302 00005e005301"), &code.to_be_bytes(), rest])
}

/// [`TCP4`] as octets.
fn tcp4() -> Vec<u8> {
    hex("45000 02d 0001 0000 40 06 0000 c0000201 c6336407
         04d2 01bb 00000001 00000002 50 18 2000 0000 0000 68656c6c6f")
}

/// The same ports and payload over UDP.
fn udp4() -> Vec<u8> {
    hex("45000 021 0001 0000 40 11 0000 c0000201 c6336407 04d2 01bb 000d 0000 68656c6c6f")
}

/// [`UDP6`] as octets.
fn udp6() -> Vec<u8> {
    ipv6(17, &hex("03e8 07d0 000d 0000 68656c6c6f"))
}

fn ipv6(next_header: u8, rest: &[u8]) -> Vec<u8> {
    ipv6_of_length(next_header, rest, u16::try_from(rest.len()).unwrap())
}

fn ipv6_of_length(next_header: u8, rest: &[u8], length: u16) -> Vec<u8> {
    let addresses = hex("20010db8000000000000000000000001 20010db8000000000000000000000002");
    join(&[&[0x60, 0, 0, 0], &length.to_be_bytes(), &[next_header, 64], &addresses, rest])
}

const TCP4: &str = "192.0.2.1.1234 > 198.51.100.7.443 6 +5 0x018";
const UDP6: &str = "2001:db8::1.1000 > 2001:db8::2.2000 17 +5";
const TCP4_ETHERNET: &str = "00:00:5e:00:53:01 192.0.2.1.1234 > 00:00:5e:00:53:02 198.51.100.7.443 6 +5 0x018";
