//! IP addresses in messages and columns, and the names of IP protocols.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The 16 octets of an address, IPv4 as `::ffff:0:0/96`.
#[must_use]
pub fn address_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The address in 16 octets; those in `::ffff:0:0/96` are IPv4.
///
/// # Errors
/// If there are not 16 octets.
pub fn address_from_octets(octets: &[u8]) -> Result<IpAddr, InvalidAddress> {
    let octets = <[u8; 16]>::try_from(octets).map_err(|_| InvalidAddress { octets: octets.len() })?;
    Ok(Ipv6Addr::from(octets).to_canonical())
}

/// The address in 16 octets, taken from a packet of this IP version: the IPv6
/// address `::ffff:192.0.2.1` stays one if it was in an IPv6 header.
///
/// # Errors
/// If there are not 16 octets.
pub fn address_of_version(octets: &[u8], ip_version: u32) -> Result<IpAddr, InvalidAddress> {
    let octets = <[u8; 16]>::try_from(octets).map_err(|_| InvalidAddress { octets: octets.len() })?;
    if ip_version == 4 {
        let [.., a, b, c, d] = octets;
        return Ok(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    }
    Ok(IpAddr::V6(Ipv6Addr::from(octets)))
}

/// Why octets are no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an address has 16 octets, not {octets}")]
pub struct InvalidAddress {
    octets: usize,
}

/// An IP protocol's keyword in lower case (IANA "Assigned Internet Protocol
/// Numbers"), or its number where it has none or is seldom called by it.
#[must_use]
pub fn protocol_keyword(protocol: u8) -> String {
    let keyword = match protocol {
        0 => "hopopt",
        1 => "icmp",
        2 => "igmp",
        3 => "ggp",
        4 => "ipv4",
        5 => "st",
        6 => "tcp",
        7 => "cbt",
        8 => "egp",
        9 => "igp",
        12 => "pup",
        17 => "udp",
        27 => "rdp",
        33 => "dccp",
        41 => "ipv6",
        43 => "ipv6-route",
        44 => "ipv6-frag",
        46 => "rsvp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        55 => "min-ipv4",
        58 => "ipv6-icmp",
        59 => "ipv6-nonxt",
        60 => "ipv6-opts",
        88 => "eigrp",
        89 => "ospfigp",
        94 => "ipip",
        97 => "etherip",
        98 => "encap",
        103 => "pim",
        108 => "ipcomp",
        112 => "vrrp",
        115 => "l2tp",
        124 => "isis over ipv4",
        132 => "sctp",
        133 => "fc",
        135 => "mobility header",
        136 => "udplite",
        137 => "mpls-in-ip",
        138 => "manet",
        139 => "hip",
        140 => "shim6",
        141 => "wesp",
        142 => "rohc",
        143 => "ethernet",
        _ => return protocol.to_string(),
    };
    keyword.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in ["192.0.2.1", "2001:db8::1", "::"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(address_from_octets(&address_octets(ip)), Ok(ip));
        }
        assert!(address_from_octets(&[0; 4]).is_err());
    }

    #[test]
    fn a_mapped_address_in_an_ipv6_header_stays_ipv6() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let octets = address_octets(mapped);
        assert_eq!(address_of_version(&octets, 6), Ok(mapped));
        assert_eq!(address_of_version(&octets, 4), Ok("192.0.2.1".parse().unwrap()));
    }
}
