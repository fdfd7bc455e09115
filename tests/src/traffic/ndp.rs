//! Neighbour discovery of IPv6 (RFC 4861).

use std::net::{IpAddr, Ipv6Addr};

use etherparse::IpNumber;

use super::{Host, ip_builder, link_local, mac_octets, padded};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;

/// A router says which /64 is on the link, from its link-local address (section 4.2).
#[must_use]
pub fn router_advertisement(router: &Host, prefix: Ipv6Addr) -> Vec<u8> {
    let src = Host::new(router.mac, link_local(router.mac));
    // Reachable time and retransmission timer: as the host likes.
    let mut body = vec![0; 8];
    // Source link-layer address (section 4.6.1).
    body.extend_from_slice(&[1, 1]);
    body.extend_from_slice(&mac_octets(router.mac));
    // Prefix information (section 4.6.2): on-link, for addresses of one's own; a day, four hours.
    body.extend_from_slice(&[3, 4, 64, 0xc0]);
    body.extend_from_slice(&86_400_u32.to_be_bytes());
    body.extend_from_slice(&14_400_u32.to_be_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(&prefix.octets());
    // Hop limit 64, nothing managed, default router for half an hour.
    icmpv6(&src, &Host::group(ALL_NODES), ROUTER_ADVERTISEMENT, [64, 0, 0x07, 0x08], &body)
}

/// Asks whether anybody has this address already, before taking it (RFC 4862, section 5.4.2).
///
/// # Panics
/// If the address is not of IPv6.
#[must_use]
pub fn duplicate_address_check(host: &Host) -> Vec<u8> {
    let IpAddr::V6(ip) = host.ip else { panic!("NDP is of IPv6: {host:?}") };
    let [.., a, b, c] = ip.octets();
    // The solicited-node group (RFC 4291, section 2.7.1).
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let src = Host::new(host.mac, Ipv6Addr::UNSPECIFIED);
    icmpv6(&src, &Host::group(group), NEIGHBOR_SOLICITATION, [0; 4], &ip.octets())
}

fn icmpv6(src: &Host, dst: &Host, kind: u8, word: [u8; 4], body: &[u8]) -> Vec<u8> {
    let builder = ip_builder(src, dst, IpNumber::IPV6_ICMP).icmpv6_raw(kind, 0, word);
    let mut frame = Vec::with_capacity(builder.size(body.len()));
    builder.write(&mut frame, body).expect("generated messages are short");
    padded(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::tests::{assert_sound, host};

    #[test]
    fn an_advertisement_carries_mac_and_prefix() {
        let frame = router_advertisement(&host(1), "2001:db8:7::".parse().unwrap());
        assert_sound(&frame);
        assert_eq!(frame[54..56], [134, 0]);
        assert_eq!(frame[70..78], [1, 1, 0, 0, 0x5e, 0, 0x53, 1]);
        assert_eq!(frame[78..82], [3, 4, 64, 0xc0]);
        assert_eq!(frame[94..98], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(frame.len(), 14 + 40 + 16 + 8 + 32);
    }

    #[test]
    fn a_check_goes_to_the_group_of_its_address() {
        let ip: Ipv6Addr = "2001:db8:7::1234:5678".parse().unwrap();
        let frame = duplicate_address_check(&Host::new(host(2).mac, ip));
        assert_sound(&frame);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x34, 0x56, 0x78]);
    }
}
