//! What several questions call the same thing in their tables.

use iotq_proto::address_of_version;

use crate::render::{Cell, protocol_name};

/// What a table calls a device: its name, else what it is known by.
pub(crate) fn name_or_id(name: &str, device: &str) -> Cell {
    if name.is_empty() { Cell::text(device) } else { Cell::text(name) }
}

/// What a table calls the other end: its name, else its address.
pub(crate) fn name_or_address(name: &str, octets: &[u8]) -> Cell {
    if name.is_empty() { Cell::address(octets) } else { Cell::text(name) }
}

/// Who is behind an address: the owner by the lists, else the network's name.
pub(crate) fn owner_or_network(owner: &str, as_name: &str) -> Cell {
    if owner.is_empty() { Cell::text(as_name) } else { Cell::text(owner) }
}

/// The number of an autonomous system; 0 is null.
pub(crate) fn asn(asn: u32) -> Cell {
    Cell::code(Some(asn).filter(|asn| *asn != 0))
}

/// Name, else address, and port, as tcpdump writes them.
pub(crate) fn endpoint(name: &str, octets: &[u8], port: Option<u32>, ip_version: u32) -> String {
    let address = || address_of_version(octets, ip_version).map_or_else(|_| "?".to_owned(), |ip| ip.to_string());
    let host = if name.is_empty() { address() } else { name.to_owned() };
    match port {
        Some(port) => format!("{host}.{port}"),
        None => host,
    }
}

/// `443/tcp`, or the protocol alone where there are no ports.
pub(crate) fn port_and_protocol(port: Option<u32>, protocol: u32) -> Cell {
    let keyword = protocol_name(protocol);
    Cell::Text(match port {
        Some(port) => format!("{port}/{keyword}"),
        None => keyword,
    })
}

/// A protocol version of TLS, SSL or DTLS (IANA has no registry of them: RFC
/// 8446, section 4.2.1, RFC 9147, section 5.3); 0 is null.
pub(crate) fn tls_version(code: u32) -> Cell {
    Cell::Text(match code {
        0 => return Cell::Null,
        0x0002 => "ssl2".to_owned(),
        0x0300 => "ssl3".to_owned(),
        0x0301..=0x0304 => format!("1.{}", code - 0x0301),
        0xfeff => "dtls1.0".to_owned(),
        0xfefd => "dtls1.2".to_owned(),
        0xfefc => "dtls1.3".to_owned(),
        _ => format!("0x{code:04x}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_contract() {
        let text = |code| match tls_version(code) {
            Cell::Text(text) => text,
            cell => format!("{cell:?}"),
        };
        let codes = [0x0002, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0xfefd, 0x7f1c, 0];
        assert_eq!(codes.map(text), ["ssl2", "ssl3", "1.0", "1.1", "1.2", "1.3", "dtls1.2", "0x7f1c", "Null"]);
    }
}
