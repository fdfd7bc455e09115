//! `dnsmasq.leases`: a line a lease, five words: when it ends, MAC (IPv6: the
//! client's number of it), address, name or `*`, client's identifier. The line
//! `duid …` begins the IPv6 part.

use std::net::IpAddr;

use super::{Found, Lease, LeasesError, at_ns, mac_of_duid};

/// Whether a file begins so.
pub(super) fn is_line(line: &str) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
    match words.as_slice() {
        ["duid", duid] => duid.contains(':'),
        [ends, _, ip, ..] => ends.parse::<i64>().is_ok() && ip.parse::<IpAddr>().is_ok(),
        _ => false,
    }
}

/// Reads all leases.
pub(super) fn parse(content: &str, found: &mut Found) -> Result<(), LeasesError> {
    for (index, line) in content.lines().enumerate() {
        let words: Vec<&str> = line.split_ascii_whitespace().take(6).collect();
        let (ends, hardware, ip, name, client) = match words.as_slice() {
            [] | ["duid", ..] => continue,
            [ends, hardware, ip, name, rest @ ..] => (ends, *hardware, ip, *name, rest.first().copied()),
            _ => {
                found.skip(index + 1, "it has no four words");
                continue;
            }
        };
        let (Ok(ends), Ok(ip)) = (ends.parse::<i64>(), ip.parse::<IpAddr>()) else {
            found.skip(index + 1, "it has no time and address");
            continue;
        };
        let mac = match ip {
            // Other hardware than Ethernet has its number and `-` before the address.
            IpAddr::V4(_) => hardware.parse().ok(),
            IpAddr::V6(_) => client.and_then(mac_of_duid),
        };
        let name = if name == "*" { String::new() } else { name.to_owned() };
        found.take(index + 1, Lease { mac, ip: Some(ip), name, groups: Vec::new(), ends_at_ns: at_ns(ends) })?;
    }
    Ok(())
}
