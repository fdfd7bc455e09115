//! DHCP over IPv6 (RFC 8415): how clients call themselves, and what addresses
//! servers give them.

use iotq_proto::{MacAddr, SightingKind};

use super::{dhcp::wire_name, found::Found, octets::Octets, seen::Seen, text::clean};

/// Reads a UDP payload. Whether it is a message.
pub(super) fn observe(seen: &Seen, payload: &[u8], found: &mut Found) -> bool {
    let Some((message, relayed)) = unwrap_relays(payload) else {
        return false;
    };
    let Message { message_type, options } = message;
    // Whether the client sent it, or is sent it.
    let is_from_client = match message_type {
        SOLICIT | REQUEST | CONFIRM | RENEW | REBIND | RELEASE | DECLINE | INFORMATION_REQUEST => true,
        ADVERTISE | REPLY | RECONFIGURE => false,
        _ => return false,
    };
    // On its own link the frame tells who the client is. An identifier (DUID) is
    // the device's, made from any of its MACs, and kept when that is replaced.
    let end = if is_from_client { seen.src } else { seen.dst };
    let mac = match relayed {
        None if end.mac.identifies() => Some(end.mac),
        None => mac_of_duid(options),
        Some(relayed) => relayed.client_mac.or_else(|| mac_of_duid(options)),
    };
    let Some(mac) = mac else {
        return true;
    };
    if is_from_client {
        let ip = Some(relayed.map_or(seen.src.ip, |relayed| relayed.peer_ip));
        let mut add = |kind, text: &str| {
            if !text.is_empty() {
                found.add_sighting(seen, kind, (mac, ip), text);
            }
        };
        // RFC 4704, section 4: flags, then the name.
        if let Some((_, name)) = option(options, CLIENT_FQDN).and_then(<[u8]>::split_first) {
            add(SightingKind::DhcpHostName, &wire_name(name));
        }
        if let Some(value) = option(options, VENDOR_CLASS) {
            add(SightingKind::DhcpVendorClass, &vendor_class(value));
        }
    } else if message_type == REPLY {
        for (ip, secs) in leases(options).take(MAX_LEASES) {
            found.add_sighting(seen, SightingKind::DhcpLease, (mac, Some(ip)), &secs.to_string());
        }
    }
    true
}

/// RFC 8415, section 8.
struct Message<'a> {
    message_type: u8,
    options: &'a [u8],
}

/// What the relay nearest to the client says of it.
#[derive(Clone, Copy)]
struct Relayed {
    peer_ip: [u8; 16],
    /// RFC 6939.
    client_mac: Option<MacAddr>,
}

/// The message between client and server, out of those of relays around it
/// (RFC 8415, section 9).
fn unwrap_relays(payload: &[u8]) -> Option<(Message<'_>, Option<Relayed>)> {
    let mut relayed = None;
    let mut octets = Octets(payload);
    for _ in 0..=MAX_RELAYS {
        let message_type = octets.u8()?;
        if !matches!(message_type, RELAY_FORWARD | RELAY_REPLY) {
            // The transaction's number.
            octets.take(3)?;
            return Some((Message { message_type, options: octets.0 }, relayed));
        }
        // Hop count and link address.
        octets.take(17)?;
        let peer_ip = octets.array()?;
        let mac = option(octets.0, CLIENT_LINK_LAYER).and_then(ethernet_mac);
        relayed = Some(Relayed { peer_ip, client_mac: mac });
        octets = Octets(option(octets.0, RELAY_MESSAGE)?);
    }
    None
}

/// Each option's code and value, as far as they are whole (section 21.1).
fn options(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut octets = Octets(octets);
    std::iter::from_fn(move || {
        let (code, length) = (octets.be16()?, octets.be16()?);
        Some((code, octets.take(length.into())?))
    })
}

fn option(octets: &[u8], wanted: u16) -> Option<&[u8]> {
    options(octets).find(|(code, _)| *code == wanted).map(|(_, value)| value)
}

/// The MAC that a client's identifier was made from (RFC 8415, sections 11.2 and 11.4).
fn mac_of_duid(options: &[u8]) -> Option<MacAddr> {
    match option(options, CLIENT_ID)? {
        // With the time at which it was made.
        [0, 1, a, b, _, _, _, _, mac @ ..] => ethernet_mac(&[&[*a, *b], mac].concat()),
        [0, 3, rest @ ..] => ethernet_mac(rest),
        _ => None,
    }
}

/// A hardware type and the address.
fn ethernet_mac(octets: &[u8]) -> Option<MacAddr> {
    let &[0, 1, a, b, c, d, e, f] = octets else {
        return None;
    };
    Some(MacAddr::from_octets([a, b, c, d, e, f])).filter(|mac| mac.identifies())
}

/// Section 21.16: an enterprise's number, then texts with their lengths.
fn vendor_class(value: &[u8]) -> String {
    let mut octets = Octets(value.get(4..).unwrap_or_default());
    let mut texts = Vec::new();
    while let Some(text) = octets.be16().and_then(|length| octets.take(length.into())) {
        texts.push(text);
    }
    clean(&texts.join(&b' ')).into_owned()
}

/// The addresses in a Reply, and for how many seconds they are valid.
fn leases(octets: &[u8]) -> impl Iterator<Item = ([u8; 16], u32)> {
    let associations = options(octets).filter_map(|(code, value)| match code {
        // Identity, T1, T2 (section 21.4); identity only (section 21.5).
        NON_TEMPORARY => value.get(12..),
        TEMPORARY => value.get(4..),
        _ => None,
    });
    associations.flat_map(options).filter(|(code, _)| *code == ADDRESS).filter_map(|(_, value)| {
        let mut octets = Octets(value);
        let (ip, _preferred_secs, valid_secs) = (octets.array()?, octets.be32()?, octets.be32()?);
        // Without time it is taken back.
        (valid_secs > 0).then_some((ip, valid_secs))
    })
}

/// Section 7.6: `HOP_COUNT_LIMIT`.
const MAX_RELAYS: usize = 8;
/// Clients have one, or two.
const MAX_LEASES: usize = 16;
// Section 7.3.
const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const RECONFIGURE: u8 = 10;
const INFORMATION_REQUEST: u8 = 11;
const RELAY_FORWARD: u8 = 12;
const RELAY_REPLY: u8 = 13;
// IANA "DHCPv6 Option Codes".
const CLIENT_ID: u16 = 1;
const NON_TEMPORARY: u16 = 3;
const TEMPORARY: u16 = 4;
const ADDRESS: u16 = 5;
const RELAY_MESSAGE: u16 = 9;
const VENDOR_CLASS: u16 = 16;
const CLIENT_FQDN: u16 = 39;
const CLIENT_LINK_LAYER: u16 = 79;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::dns::tests::seen_at;

    const CLIENT: (u8, u16) = (10, 546);
    const SERVER: (u8, u16) = (1, 547);

    fn option_of(code: u16, value: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    }

    /// Kind, MAC, address's last octet, text.
    fn shown(seen: &Seen, octets: &[u8]) -> Vec<(SightingKind, String, u8, String)> {
        let mut found = Found::default();
        assert!(observe(seen, octets, &mut found));
        let sightings = found.take_sightings();
        sightings.into_iter().map(|s| (s.kind, s.mac.to_string(), s.ip.unwrap()[15], s.text)).collect()
    }

    fn solicit() -> Vec<u8> {
        let duid = option_of(1, &[0, 3, 0, 1, 0, 0, 0x5e, 0, 0x53, 0x99]);
        let class = option_of(16, b"\0\0\x01\x37\0\x04MSFT\0\x035.0");
        [&[1, 1, 2, 3], &duid[..], &option_of(39, b"\0\x04plug\x04home"), &class].concat()
    }

    #[test]
    fn clients_show_names_and_their_kind() {
        let at = |mac: &str, ip| {
            let shown = |kind, text: &str| (kind, mac.to_owned(), ip, text.to_owned());
            [shown(SightingKind::DhcpHostName, "plug.home"), shown(SightingKind::DhcpVendorClass, "MSFT 5.0")]
        };
        assert_eq!(shown(&seen_at(1, CLIENT, SERVER), &solicit()), at("00:00:5e:00:53:0a", 10));
        let relayed = |more: &[u8]| [&[12, 0], &[0; 31][..], &[0xaa], more, &option_of(9, &solicit())].concat();
        assert_eq!(shown(&seen_at(1, CLIENT, SERVER), &relayed(&[])), at("00:00:5e:00:53:99", 0xaa));
        let link_layer = option_of(79, &[0, 1, 0, 0, 0x5e, 0, 0x53, 0x55]);
        assert_eq!(shown(&seen_at(1, CLIENT, SERVER), &relayed(&link_layer)), at("00:00:5e:00:53:55", 0xaa));
    }

    #[test]
    fn replies_are_leases() {
        let address =
            |last: u8, secs: u32| option_of(5, &[&[0; 15], &[last, 0, 0, 0, 1][..], &secs.to_be_bytes()].concat());
        let identity = [&[0; 12], &address(7, 600)[..], &address(8, 0)].concat();
        let reply = [&[7, 1, 2, 3], &option_of(3, &identity)[..]].concat();
        let lease = (SightingKind::DhcpLease, "00:00:5e:00:53:0a".to_owned(), 7, "600".to_owned());
        assert_eq!(shown(&seen_at(1, SERVER, CLIENT), &reply), [lease]);
    }

    #[test]
    fn relays_are_unwrapped_a_few_times_only() {
        let wrap = |octets: Vec<u8>| [&[12, 0], &[0; 32][..], &option_of(9, &octets)].concat();
        let wrapped = |times| (0..times).fold(solicit(), |octets, _| wrap(octets));
        assert!(observe(&seen_at(1, CLIENT, SERVER), &wrapped(8), &mut Found::default()));
        assert!(!observe(&seen_at(1, CLIENT, SERVER), &wrapped(9), &mut Found::default()));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), first in 0..14u8) {
            observe(&seen_at(1, CLIENT, SERVER), &[&[first], &octets[..]].concat(), &mut Found::default());
        }
    }
}
