//! Frames, built octet by octet from what they should say.
//!
//! Lengths and checksums are right, and frames are at least as long as Ethernet
//! demands: what a mirror port shows is padded. Never reads a capture.

pub mod dhcp;
pub mod dns;
pub mod ndp;
pub mod ntp;
pub mod ssdp;
pub mod tcp;
pub mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder,
    PacketBuilderStep, TcpHeader,
};
use iotq_proto::MacAddr;

/// The shortest Ethernet frame, without its check sequence (IEEE 802.3, 4A.4.2).
pub const MIN_FRAME_BYTES: usize = 60;

/// One end of a packet: an address, and the MAC it is reached by.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Host {
    /// On this side of the link: for everything outside it is the router's.
    pub mac: MacAddr,
    /// Its address.
    pub ip: IpAddr,
}

impl Host {
    /// The host at this address.
    #[must_use]
    pub fn new(mac: MacAddr, ip: impl Into<IpAddr>) -> Self {
        Self { mac, ip: ip.into() }
    }

    /// All hosts of a multicast group, or all there are for a broadcast address.
    #[must_use]
    pub fn group(ip: impl Into<IpAddr>) -> Self {
        let ip = ip.into();
        let mac = match ip {
            // RFC 1112, section 6.4.
            IpAddr::V4(ip) if ip.is_multicast() => {
                let [_, b, c, d] = ip.octets();
                [0x01, 0x00, 0x5e, b & 0x7f, c, d]
            }
            IpAddr::V4(_) => [0xff; 6],
            // RFC 2464, section 7.
            IpAddr::V6(ip) => {
                let [.., a, b, c, d] = ip.octets();
                [0x33, 0x33, a, b, c, d]
            }
        };
        Self { mac: MacAddr::from_octets(mac), ip }
    }
}

/// The octets of a MAC address as they are on the wire.
#[must_use]
pub fn mac_octets(mac: MacAddr) -> [u8; 6] {
    let [_, _, octets @ ..] = mac.as_u64().to_be_bytes();
    octets
}

/// The link-local IPv6 address that follows from a MAC (RFC 4291, appendix A).
#[must_use]
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac_octets(mac);
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 0x02, b), word(c, 0xff), word(0xfe, d), word(e, f))
}

/// A UDP datagram in a frame.
#[must_use]
pub fn udp(src: &Host, dst: &Host, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let builder = ip_builder(src, dst, IpNumber::UDP).udp(ports.0, ports.1);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).expect("generated datagrams are shorter than 64 KiB");
    padded(frame)
}

/// A TCP segment in a frame.
#[must_use]
pub fn tcp_segment(src: &Host, dst: &Host, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let builder = ip_builder(src, dst, IpNumber::TCP).tcp_header(header);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).expect("generated segments are shorter than 64 KiB");
    padded(frame)
}

/// An ICMP echo request, or the reply to one.
#[must_use]
pub fn icmp_echo(src: &Host, dst: &Host, is_reply: bool, id: u16, seq: u16) -> Vec<u8> {
    let builder = ip_builder(src, dst, IpNumber::ICMP);
    let builder = if is_reply { builder.icmpv4_echo_reply(id, seq) } else { builder.icmpv4_echo_request(id, seq) };
    let mut frame = Vec::new();
    builder.write(&mut frame, &[0x61; 32]).expect("32 octets fit");
    padded(frame)
}

/// An ICMP "port unreachable" about the packet in `about`, whose link header is
/// left out (RFC 792: the IP header and eight octets are quoted).
#[must_use]
pub fn icmp_port_unreachable(src: &Host, dst: &Host, about: &[u8]) -> Vec<u8> {
    let quoted = about.get(14..42.min(about.len())).unwrap_or_default();
    let builder = ip_builder(src, dst, IpNumber::ICMP)
        .icmpv4(etherparse::Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::Port));
    let mut frame = Vec::new();
    builder.write(&mut frame, quoted).expect("28 octets fit");
    padded(frame)
}

/// An `IGMPv2` membership report (RFC 2236), with the router alert option in its
/// IP header.
#[must_use]
pub fn igmp_report(src: &Host, group: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = group.octets();
    let mut report = [0x16, 0, 0, 0, a, b, c, d];
    let sum = internet_checksum(&report);
    report[2..4].copy_from_slice(&sum.to_be_bytes());
    let dst = Host::group(group);
    let (IpAddr::V4(src_ip), IpAddr::V4(dst_ip)) = (src.ip, dst.ip) else {
        unreachable!("IGMP is of IPv4: {src:?}");
    };
    let mut header = Ipv4Header::new(8, 1, IpNumber::IGMP, src_ip.octets(), dst_ip.octets()).expect("8 octets fit");
    // RFC 2113: examine this packet.
    header.options = [0x94, 4, 0, 0].into();
    header.set_payload_len(report.len()).expect("8 octets fit");
    header.header_checksum = header.calc_header_checksum();
    let mut frame = ethernet(src.mac, dst.mac, EtherType::IPV4);
    header.write(&mut frame).expect("a vector takes all");
    frame.extend_from_slice(&report);
    padded(frame)
}

/// Asks who has an address (RFC 826), or says so to all if it is the sender's own.
#[must_use]
pub fn arp_request(src: &Host, target: Ipv4Addr) -> Vec<u8> {
    arp(src, &Host::new(MacAddr::NONE, target), ArpOperation::REQUEST, MacAddr::from_octets([0xff; 6]))
}

/// Says to one host who has an address.
#[must_use]
pub fn arp_reply(src: &Host, dst: &Host) -> Vec<u8> {
    arp(src, dst, ArpOperation::REPLY, dst.mac)
}

/// A frame of another EtherType, with this payload.
#[must_use]
pub fn other(src: MacAddr, dst: MacAddr, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(src, dst, EtherType(ether_type));
    frame.extend_from_slice(payload);
    padded(frame)
}

/// The same frame with an 802.1Q tag; several make a stack, the last one outermost.
#[must_use]
pub fn tagged(mut frame: Vec<u8>, vlan: u16) -> Vec<u8> {
    let [high, low] = (vlan & 0x0fff).to_be_bytes();
    let at = 12.min(frame.len());
    frame.splice(at..at, [0x81, 0x00, high, low]);
    frame
}

/// RFC 1071.
#[must_use]
pub fn internet_checksum(octets: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in octets.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn arp(src: &Host, dst: &Host, operation: ArpOperation, to: MacAddr) -> Vec<u8> {
    let (IpAddr::V4(src_ip), IpAddr::V4(dst_ip)) = (src.ip, dst.ip) else {
        unreachable!("ARP is of IPv4: {src:?}");
    };
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &mac_octets(src.mac),
        &src_ip.octets(),
        &mac_octets(dst.mac),
        &dst_ip.octets(),
    )
    .expect("the lengths agree");
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac_octets(src.mac), mac_octets(to))
        .arp(packet)
        .write(&mut frame)
        .expect("a vector takes all");
    padded(frame)
}

fn ip_builder(src: &Host, dst: &Host, protocol: IpNumber) -> PacketBuilderStep<IpHeaders> {
    let hop_limit = match (src.ip, dst.ip) {
        // RFC 6762, section 11; RFC 4861, section 7.1.
        (_, ip) if ip.is_multicast() || protocol == IpNumber::IPV6_ICMP => 255,
        (IpAddr::V4(ip), _) if !(ip.is_private() || ip.is_unspecified()) => 236,
        _ => 64,
    };
    let header = match (src.ip, dst.ip) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = Ipv4Header::new(0, hop_limit, protocol, src.octets(), dst.octets()).expect("0 fits");
            header.dont_fragment = true;
            IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = Ipv6Header {
                next_header: protocol,
                hop_limit,
                source: src.octets(),
                destination: dst.octets(),
                ..Ipv6Header::default()
            };
            IpHeaders::Ipv6(header, etherparse::Ipv6Extensions::default())
        }
        _ => unreachable!("both ends are of one IP version: {src:?}, {dst:?}"),
    };
    PacketBuilder::ethernet2(mac_octets(src.mac), mac_octets(dst.mac)).ip(header)
}

fn ethernet(src: MacAddr, dst: MacAddr, ether_type: EtherType) -> Vec<u8> {
    let mut frame = Vec::with_capacity(MIN_FRAME_BYTES);
    frame.extend_from_slice(&mac_octets(dst));
    frame.extend_from_slice(&mac_octets(src));
    frame.extend_from_slice(&ether_type.0.to_be_bytes());
    frame
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < MIN_FRAME_BYTES {
        frame.resize(MIN_FRAME_BYTES, 0);
    }
    frame
}

#[cfg(test)]
pub(crate) mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    pub(crate) fn host(last: u8) -> Host {
        Host::new(MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, last]), Ipv4Addr::new(192, 0, 2, last))
    }

    /// Panics unless lengths and checksums of a frame are right.
    pub(crate) fn assert_sound(frame: &[u8]) {
        assert!(frame.len() >= MIN_FRAME_BYTES);
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        match sliced.net.as_ref() {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                if let Some(TransportSlice::Udp(udp)) = &sliced.transport {
                    let expected = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
                    assert_eq!(udp.checksum(), expected);
                }
                if let Some(TransportSlice::Tcp(tcp)) = &sliced.transport {
                    let expected = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap();
                    assert_eq!(tcp.checksum(), expected);
                }
                if let Some(TransportSlice::Icmpv4(icmp)) = &sliced.transport {
                    assert_eq!(internet_checksum(icmp.slice()), 0);
                }
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header().to_header();
                if let Some(TransportSlice::Udp(udp)) = &sliced.transport {
                    let expected = udp.to_header().calc_checksum_ipv6(&header, udp.payload()).unwrap();
                    assert_eq!(udp.checksum(), expected);
                }
                if let Some(TransportSlice::Tcp(tcp)) = &sliced.transport {
                    let expected = tcp.to_header().calc_checksum_ipv6(&header, tcp.payload()).unwrap();
                    assert_eq!(tcp.checksum(), expected);
                }
                if let Some(TransportSlice::Icmpv6(icmp)) = &sliced.transport {
                    assert!(icmp.is_checksum_valid(header.source, header.destination));
                }
            }
            Some(NetSlice::Arp(_)) => {}
            None => panic!("neither IP nor ARP: {frame:02x?}"),
        }
    }

    #[test]
    fn frames_have_right_lengths_and_checksums() {
        let (a, b) = (host(1), host(2));
        let v6 = |host: Host| Host::new(host.mac, link_local(host.mac));
        let datagram = udp(&a, &b, (49_152, 53), b"question");
        for frame in [
            datagram.clone(),
            udp(&v6(a), &v6(b), (5353, 5353), &[7; 101]),
            tcp_segment(&a, &b, TcpHeader::new(1, 2, 3, 4), &[9; 700]),
            icmp_echo(&a, &b, false, 1, 2),
            icmp_port_unreachable(&b, &a, &datagram),
            igmp_report(&a, Ipv4Addr::new(224, 0, 0, 251)),
            arp_request(&a, Ipv4Addr::new(192, 0, 2, 2)),
            arp_reply(&b, &a),
        ] {
            assert_sound(&frame);
            assert_sound(&tagged(tagged(frame, 7), 100));
        }
    }

    #[test]
    fn a_group_has_the_mac_that_its_address_gives() {
        assert_eq!(Host::group(Ipv4Addr::new(239, 255, 255, 250)).mac.to_string(), "01:00:5e:7f:ff:fa");
        assert_eq!(Host::group(Ipv4Addr::BROADCAST).mac.to_string(), "ff:ff:ff:ff:ff:ff");
        assert_eq!(Host::group("ff02::fb".parse::<Ipv6Addr>().unwrap()).mac.to_string(), "33:33:00:00:00:fb");
        assert_eq!(link_local(host(1).mac).to_string(), "fe80::200:5eff:fe00:5301");
    }
}
