//! DHCP over IPv4 (RFC 2131): how clients call themselves, and what addresses
//! servers give them.
//!
//! The client is whom the message is about (`chaddr`), not who sent the frame:
//! between relays and servers that is somebody else.

use std::borrow::Cow;

use iotq_proto::{MacAddr, SightingKind};

use super::{found::Found, octets::Octets, seen::Seen, text::clean};

/// Reads a UDP payload. Whether it is a message.
pub(super) fn observe(seen: &Seen, payload: &[u8], found: &mut Found) -> bool {
    let Some(message) = Message::read(payload) else {
        return false;
    };
    let Some(mac) = message.client_mac(seen) else {
        return true;
    };
    let options = Options::read(&message);
    match (message.op, options.message_type) {
        (REQUEST, _) => {
            let ip = message.client_ip(&options).map(mapped);
            let mut add = |kind, text: &str| {
                if !text.is_empty() {
                    found.add_sighting(seen, kind, (mac, ip), text);
                }
            };
            let (host_name, fqdn) = (clean(&options.host_name), full_name(&options.fqdn));
            if !fqdn.eq_ignore_ascii_case(&host_name) {
                add(SightingKind::DhcpHostName, &fqdn);
            }
            add(SightingKind::DhcpHostName, &host_name);
            add(SightingKind::DhcpVendorClass, &clean(&options.vendor_class));
        }
        (REPLY, Some(ACK)) if message.your_ip != UNSPECIFIED => {
            let secs = options.lease_secs.map(|secs| secs.to_string()).unwrap_or_default();
            let ip = Some(mapped(message.your_ip));
            found.add_sighting(seen, SightingKind::DhcpLease, (mac, ip), &secs);
        }
        _ => {}
    }
    true
}

/// RFC 2131, section 2.
struct Message<'a> {
    op: u8,
    client_ip: [u8; 4],
    your_ip: [u8; 4],
    relay_ip: [u8; 4],
    hardware: (u8, u8),
    client_hardware: [u8; 16],
    server_name: &'a [u8],
    file: &'a [u8],
    /// After the cookie; empty for BOOTP and messages that were cut.
    options: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut octets = Octets(payload);
        let [op, hardware_type, hardware_length, _hops] = octets.array()?;
        octets.take(8)?;
        let (client_ip, your_ip) = (octets.array()?, octets.array()?);
        octets.take(4)?;
        let relay_ip = octets.array()?;
        let client_hardware = octets.array()?;
        let (server_name, file) = (octets.take(64).unwrap_or_default(), octets.take(128).unwrap_or_default());
        let has_cookie = octets.array() == Some(MAGIC_COOKIE);
        let hardware = (hardware_type, hardware_length);
        let is_message = matches!(op, REQUEST | REPLY) && (has_cookie || hardware == ETHERNET);
        is_message.then_some(Self {
            op,
            client_ip,
            your_ip,
            relay_ip,
            hardware,
            client_hardware,
            server_name,
            file,
            options: if has_cookie { octets.0 } else { &[] },
        })
    }

    /// `None`: the message does not tell (RFC 4390, for one, leaves `chaddr` empty).
    fn client_mac(&self, seen: &Seen) -> Option<MacAddr> {
        let [a, b, c, d, e, f, ..] = self.client_hardware;
        let mac = MacAddr::from_octets([a, b, c, d, e, f]);
        if self.hardware == ETHERNET && mac.identifies() {
            return Some(mac);
        }
        let is_from_client = self.op == REQUEST && self.relay_ip == UNSPECIFIED;
        (is_from_client && seen.src.mac.identifies()).then_some(seen.src.mac)
    }

    /// Where a client is, or will be: what it asks for counts only if a server
    /// offered it (RFC 2131, section 4.3.2: SELECTING). What it had in the last
    /// network it was in may be another's in this one.
    fn client_ip(&self, options: &Options) -> Option<[u8; 4]> {
        if matches!(options.message_type, Some(DECLINE | RELEASE)) {
            return None;
        }
        let is_offered = options.message_type == Some(ASK) && options.has_server;
        let asked_for = options.requested_ip.filter(|_| is_offered);
        Some(self.client_ip).filter(|ip| *ip != UNSPECIFIED).or(asked_for)
    }
}

/// The options of interest (RFC 2132). One that is there more than once is one
/// that was cut up (RFC 3396).
#[derive(Default)]
struct Options {
    message_type: Option<u8>,
    requested_ip: Option<[u8; 4]>,
    lease_secs: Option<u32>,
    has_server: bool,
    host_name: Vec<u8>,
    vendor_class: Vec<u8>,
    fqdn: Vec<u8>,
}

impl Options {
    fn read(message: &Message<'_>) -> Self {
        let mut options = Self::default();
        // RFC 2132, section 9.3: which fields hold options too.
        let overload = options.add(message.options);
        if overload & 1 != 0 {
            options.add(message.file);
        }
        if overload & 2 != 0 {
            options.add(message.server_name);
        }
        options
    }

    /// Reads a field of options, and says what its Option Overload has.
    fn add(&mut self, field: &[u8]) -> u8 {
        let mut octets = Octets(field);
        let mut overload = 0;
        while let Some(code) = octets.u8().filter(|code| *code != END) {
            if code == PAD {
                continue;
            }
            let Some(value) = octets.u8().and_then(|length| octets.take(length.into())) else {
                break;
            };
            match code {
                12 => self.host_name.extend(value),
                50 => self.requested_ip = value.try_into().ok(),
                51 => self.lease_secs = Octets(value).be32(),
                52 => overload = value.first().copied().unwrap_or_default(),
                53 => self.message_type = value.first().copied(),
                54 => self.has_server = true,
                60 => self.vendor_class.extend(value),
                81 => self.fqdn.extend(value),
                _ => {}
            }
        }
        overload
    }
}

/// The Client FQDN option's name (RFC 4702, section 2): flags, two octets that
/// mean nothing, and a name as in DNS messages or, without the E flag, as text.
fn full_name(option: &[u8]) -> Cow<'_, str> {
    match option {
        [flags, _, _, name @ ..] if flags & 0x04 != 0 => wire_name(name).into(),
        [_, _, _, name @ ..] => clean(name.strip_suffix(b".").unwrap_or(name)),
        _ => Cow::Borrowed(""),
    }
}

/// A name in labels without compression, perhaps without the root at its end.
pub(super) fn wire_name(octets: &[u8]) -> String {
    let mut octets = Octets(octets);
    let mut labels = Vec::new();
    while let Some(label) = octets.u8().filter(|length| *length != 0).and_then(|length| octets.take(length.into())) {
        labels.push(label);
    }
    clean(&labels.join(&b'.')).into_owned()
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

const UNSPECIFIED: [u8; 4] = [0; 4];
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// `htype` and `hlen` (IANA "ARP parameters").
const ETHERNET: (u8, u8) = (1, 6);
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
// RFC 2132, section 9.6.
const ASK: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const RELEASE: u8 = 7;
// RFC 2132, sections 3.1 and 3.2.
const PAD: u8 = 0;
const END: u8 = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{chunk::Sighting, names::dns::tests::seen_at};

    const CHADDR: [u8; 6] = [0, 0, 0x5e, 0, 0x53, 0x77];

    fn message(op: u8, client_ip: [u8; 4], your_ip: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut octets = vec![op, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0];
        octets.extend([client_ip, your_ip, [0; 4], [192, 0, 2, 1]].concat());
        octets.extend(CHADDR);
        octets.extend([0; 10 + 64 + 128]);
        octets.extend(MAGIC_COOKIE);
        octets.extend(options);
        octets
    }

    fn option(code: u8, value: &[u8]) -> Vec<u8> {
        [&[code, u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn sightings(octets: &[u8]) -> Vec<Sighting> {
        let mut found = Found::default();
        assert!(observe(&seen_at(1, (1, 67), (2, 67)), octets, &mut found));
        found.take_sightings()
    }

    /// Kind, last octet of the address, text.
    fn shown(octets: &[u8]) -> Vec<(SightingKind, Option<u8>, String)> {
        let sightings = sightings(octets);
        assert!(sightings.iter().all(|sighting| sighting.mac == MacAddr::from_octets(CHADDR)));
        sightings.into_iter().map(|sighting| (sighting.kind, sighting.ip.map(|ip| ip[15]), sighting.text)).collect()
    }

    #[test]
    fn clients_show_names_and_their_kind() {
        let request = |more: &[u8]| {
            let options =
                [&option(53, &[3]), &option(50, &[192, 0, 2, 9]), &option(12, b"plug"), more, &[END]].concat();
            shown(&message(1, [0; 4], [0; 4], &options))
        };
        let host = |ip| (SightingKind::DhcpHostName, ip, "plug".to_owned());
        assert_eq!(request(&[]), [host(None)], "an address of the last network");
        assert_eq!(request(&option(54, &[192, 0, 2, 1])), [host(Some(9))]);
        let fqdn = option(81, b"\x04\0\0\x04plug\x07example\x03com\0");
        let full = (SightingKind::DhcpHostName, None, "plug.example.com".to_owned());
        assert_eq!(request(&fqdn), [full, host(None)]);
        assert_eq!(request(&option(81, b"\0\0\0PLUG")), [host(None)]);
        let class = (SightingKind::DhcpVendorClass, None, "udhcp 1.19".to_owned());
        assert_eq!(request(&[option(60, b"udhcp"), option(60, b" 1.19")].concat()), [host(None), class]);
    }

    #[test]
    fn acks_are_leases() {
        let ack = [option(53, &[5]), option(51, &3600u32.to_be_bytes()), option(12, b"named-by-server")].concat();
        let lease = (SightingKind::DhcpLease, Some(9), "3600".to_owned());
        assert_eq!(shown(&message(2, [0; 4], [192, 0, 2, 9], &ack)), [lease]);
        assert_eq!(shown(&message(2, [192, 0, 2, 9], [0; 4], &ack)), [], "of an INFORM");
        let offer = option(53, &[2]);
        assert_eq!(shown(&message(2, [0; 4], [192, 0, 2, 9], &offer)), []);
    }

    #[test]
    fn options_go_on_in_other_fields() {
        let mut octets = message(1, [0; 4], [0; 4], &option(52, &[3]));
        octets[108..114].copy_from_slice(&option(12, b"plug"));
        octets[44..50].copy_from_slice(&option(12, b"-two"));
        assert_eq!(shown(&octets), [(SightingKind::DhcpHostName, None, "plug-two".to_owned())]);
    }

    #[test]
    fn cut_messages_tell_what_is_whole() {
        let options = [option(12, b"plug"), option(60, b"udhcp")].concat();
        let octets = message(1, [192, 0, 2, 9], [0; 4], &options);
        assert_eq!(shown(&octets[..octets.len() - 1]), [(SightingKind::DhcpHostName, Some(9), "plug".to_owned())]);
        assert_eq!(shown(&octets[..100]), []);
        assert!(!observe(&seen_at(1, (1, 67), (2, 67)), &octets[..40], &mut Found::default()));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            observe(&seen_at(1, (1, 68), (2, 67)), &octets, &mut Found::default());
            sightings(&message(1, [0; 4], [0; 4], &octets));
        }
    }
}
