//! What devices show of themselves: ARP, Neighbor Discovery, DHCP clients.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacketSlice, EtherType,
    icmpv6::{NdpOptionSlice, NdpOptionsIterator},
};
use iotq_proto::{MacAddr, SightingKind};

use super::{
    Frame, Link,
    bytes::{after, chunk},
};
use crate::chunk::Sighting;

/// RFC 826: who sends a request or a reply says that it has this address, and
/// so does a gratuitous one. Probes (RFC 5227) only ask, from 0.0.0.0.
pub(super) fn see_arp(frame: &Frame<'_>, link: &Link, bytes: &[u8], sightings: &mut Vec<Sighting>) {
    let Ok(arp) = ArpPacketSlice::from_slice(bytes) else {
        return;
    };
    let is_claim = matches!(arp.operation(), ArpOperation::REQUEST | ArpOperation::REPLY);
    if !is_claim || !matches!(arp.hw_addr_type(), ETHERNET | IEEE_802) || arp.proto_addr_type() != EtherType::IPV4 {
        return;
    }
    let (Ok(mac), Ok(ip)) =
        (<[u8; 6]>::try_from(arp.sender_hw_addr()), <[u8; 4]>::try_from(arp.sender_protocol_addr()))
    else {
        return;
    };
    let (mac, ip) = (MacAddr::from_octets(mac), Ipv4Addr::from(ip));
    if mac.identifies() && !ip.is_unspecified() {
        sightings.push(seen(frame, link, SightingKind::Arp, mac, Some(ip.to_ipv6_mapped().octets())));
    }
}

/// RFC 4861: solicitations and advertisements with a link-layer address say that
/// it has this IPv6 address; Router Advertisements say which prefixes are on-link.
///
/// `bytes` are the ICMP message, as far as it was captured.
pub(super) fn see_ndp(frame: &Frame<'_>, link: &Link, src_ip: [u8; 16], bytes: &[u8], sightings: &mut Vec<Sighting>) {
    let Some([message, 0]) = chunk(bytes, 0) else {
        return;
    };
    // Sections 4.1 to 4.4: where the options begin, and whose address they are about.
    let (options_at, ip) = match message {
        ROUTER_SOLICITATION => (8, Some(src_ip)),
        ROUTER_ADVERTISEMENT => (16, Some(src_ip)),
        NEIGHBOR_SOLICITATION => (24, Some(src_ip)),
        NEIGHBOR_ADVERTISEMENT => (24, chunk(bytes, 8)),
        _ => return,
    };
    let options = after(bytes, options_at).unwrap_or_default();
    let options = || NdpOptionsIterator::from_slice(options).map_while(Result::ok).take(MAX_OPTIONS);
    let mac = options().find_map(|option| match option {
        NdpOptionSlice::SourceLinkLayerAddress(mac) if message != NEIGHBOR_ADVERTISEMENT => {
            mac_of(mac.link_layer_address())
        }
        NdpOptionSlice::TargetLinkLayerAddress(mac) if message == NEIGHBOR_ADVERTISEMENT => {
            mac_of(mac.link_layer_address())
        }
        _ => None,
    });
    // A solicitation from `::` looks whether an address is taken (RFC 4862).
    if let (Some(mac), Some(ip)) = (mac, ip.filter(|ip| is_unicast(*ip))) {
        sightings.push(seen(frame, link, SightingKind::Ndp, mac, Some(ip)));
    }
    if message != ROUTER_ADVERTISEMENT {
        return;
    }
    for option in options() {
        if let NdpOptionSlice::PrefixInformation(prefix) = option
            && prefix.on_link()
            && prefix.prefix_length() <= 128
        {
            let (mac, base) = (mac.unwrap_or(link.src), masked(prefix.prefix(), prefix.prefix_length()));
            let sighting = seen(frame, link, SightingKind::RaPrefix, mac, Some(base));
            sightings.push(Sighting { prefix_len: prefix.prefix_length(), ..sighting });
        }
    }
}

/// Who sends as a DHCP client is a device, whatever its address.
#[cold]
pub(super) fn see_dhcp_client(frame: &Frame<'_>, link: &Link, src_ip: [u8; 16], sightings: &mut Vec<Sighting>) {
    if link.src.identifies() {
        let is_unspecified = Ipv6Addr::from(src_ip).to_canonical().is_unspecified();
        let ip = (!is_unspecified).then_some(src_ip);
        sightings.push(seen(frame, link, SightingKind::DhcpClient, link.src, ip));
    }
}

fn seen(frame: &Frame<'_>, link: &Link, kind: SightingKind, mac: MacAddr, ip: Option<[u8; 16]>) -> Sighting {
    Sighting { kind, vlan: link.vlan, mac, ip, prefix_len: 128, seen_at: frame.captured_at, text: String::new() }
}

/// The address in a link-layer address option, if it is one of six octets
/// (RFC 2464, section 6) that identifies somebody.
fn mac_of(octets: &[u8]) -> Option<MacAddr> {
    let mac = MacAddr::from_octets(octets.try_into().ok()?);
    mac.identifies().then_some(mac)
}

fn is_unicast(ip: [u8; 16]) -> bool {
    let ip = Ipv6Addr::from(ip);
    !ip.is_unspecified() && !ip.is_multicast()
}

/// RFC 4861, section 4.6.2: bits after the prefix length are to be ignored.
fn masked(prefix: [u8; 16], prefix_len: u8) -> [u8; 16] {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len.min(128))).unwrap_or(0);
    (u128::from_be_bytes(prefix) & mask).to_be_bytes()
}

// IANA "ICMPv6 type numbers".
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
// IANA "ARP parameters".
const ETHERNET: ArpHardwareId = ArpHardwareId::ETHERNET;
const IEEE_802: ArpHardwareId = ArpHardwareId(6);
/// Real messages have up to a dozen.
const MAX_OPTIONS: usize = 64;
