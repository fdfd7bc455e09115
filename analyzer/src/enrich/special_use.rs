//! Addresses that are in no network of the Internet: IANA's IPv4 and IPv6
//! Special-Purpose Address Registries (RFC 6890), and multicast.
//!
//! Tables of networks have rows for some of them all the same, so they are never
//! looked up: 192.168.0.0/16 is not in Australia.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address to look up: an IPv6 address with an IPv4 address of the Internet
/// inside (mapped, or made by NAT64) is that one. `None` for special-use ones.
#[must_use]
pub(super) fn to_look_up(ip: IpAddr) -> Option<IpAddr> {
    let ip = unwrapped(ip);
    (!is_special_use(ip)).then_some(ip)
}

/// Whether the address is for a special use. Blocks that the registries call
/// globally reachable (AS112, AMT, NAT64's well-known prefix) are not.
#[must_use]
fn is_special_use(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_within_v4(ip, &SPECIAL_V4),
        IpAddr::V6(ip) => is_within_v6(ip, &SPECIAL_V6) && !is_within_v6(ip, &REACHABLE_V6),
    }
}

fn unwrapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if is_within_v6(v6, &[NAT64]) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        ip => ip.to_canonical(),
    }
}

fn is_within_v4(ip: Ipv4Addr, blocks: &[(Ipv4Addr, u32)]) -> bool {
    blocks.iter().any(|(first, bits)| (u32::from(ip) ^ u32::from(*first)) >> (32 - bits) == 0)
}

fn is_within_v6(ip: Ipv6Addr, blocks: &[(Ipv6Addr, u32)]) -> bool {
    blocks.iter().any(|(first, bits)| (u128::from(ip) ^ u128::from(*first)) >> (128 - bits) == 0)
}

/// RFC 6052: the last 32 bits are the IPv4 address.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network, RFC 791
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private, RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carrier-grade NAT, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback, RFC 1122
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, RFC 3927
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private, RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // IETF protocol assignments, RFC 6890
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation, RFC 5737
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relay anycast, RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private, RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarking, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast, RFC 5771
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved and limited broadcast, RFC 1112, RFC 8190
];

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
const SPECIAL_V6: [(Ipv6Addr, u32); 11] = [
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 8), // unspecified, loopback, NAT64 of one's own, RFC 4291, RFC 8215
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 32), // discard-only and dummy, RFC 6666, RFC 9780
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // IETF protocols, Teredo too, RFC 2928, RFC 4380
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation, RFC 3849
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4, RFC 3056
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation, RFC 9637
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16), // segment routing, RFC 9602
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7), // unique local, RFC 4193
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), // link-local, RFC 4291
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10), // site-local, RFC 3879
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), // multicast, RFC 4291
];

/// Parts of the above that the registry calls globally reachable.
const REACHABLE_V6: [(Ipv6Addr, u32); 2] = [
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32),     // AMT, RFC 7450
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48), // AS112, RFC 7535
];

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(ip: &str) -> Option<String> {
        to_look_up(ip.parse().unwrap()).map(|ip| ip.to_string())
    }

    #[test]
    fn special_uses_are_not_looked_up() {
        for ip in [
            "0.0.0.0",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "172.31.255.255",
            "192.0.0.9",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.251",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b:1::1",
            "64:ff9b::10.0.0.1",
            "100::1",
            "2001::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff:fff::1",
            "5f00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::fb",
        ] {
            assert_eq!(look_up(ip), None, "{ip}");
        }
    }

    #[test]
    fn neighbours_of_special_blocks_are() {
        for ip in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.31.196.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:3::1",
            "2001:4:112::1",
            "2001:db9::1",
            "2003::1",
            "2620:4f:8000::1",
            "4000::1",
        ] {
            assert_eq!(look_up(ip).as_deref(), Some(ip), "{ip}");
        }
    }

    #[test]
    fn the_ipv4_address_inside_is_looked_up() {
        assert_eq!(look_up("::ffff:8.8.8.8").as_deref(), Some("8.8.8.8"));
        assert_eq!(look_up("64:ff9b::8.8.8.8").as_deref(), Some("8.8.8.8"));
    }
}
