//! What multicast DNS shows of devices: host names with addresses (RFC 6762) and
//! services (RFC 6763).
//!
//! A record says which name is at which address; it does not say that its sender
//! is that device: sleep proxies and reflectors repeat what others said. So a
//! name is its sender's only if one of its addresses, in this message, is the
//! sender's. Of other names the address is kept, without a MAC.

use iotq_proto::{MacAddr, RecordType, SightingKind};
use smallvec::SmallVec;

use super::{
    dns::{MAX_NAME_OCTETS, Message, Name, Record, Section},
    found::Found,
    seen::Seen,
    text::clean,
};

/// Reads the records of a message; its questions are somebody else's.
pub(super) fn observe(seen: &Seen, message: &Message<'_>, found: &mut Found) {
    let records: SmallVec<[Record<'_>; USUAL_RECORDS]> =
        message.records().take(MAX_RECORDS).filter(|record| is_claim(message, record)).collect();
    let hosts: SmallVec<[Host<'_>; USUAL_RECORDS]> = records.iter().filter_map(Host::read).take(MAX_HOSTS).collect();
    let mut own: SmallVec<[Name<'_>; MAX_OWN_NAMES]> = SmallVec::new();
    for host in hosts.iter().filter(|host| host.ip == seen.src.ip) {
        if own.len() < MAX_OWN_NAMES && !is_in(&own, host.name) {
            own.push(host.name);
        }
    }
    for host in &hosts {
        let mac = if is_in(&own, host.name) { seen.src.mac } else { MacAddr::NONE };
        if let Some(name) = local_name(host.name) {
            let text = clean(name.octets());
            if !text.is_empty() {
                found.add_sighting(seen, SightingKind::MdnsHostName, (mac, Some(host.ip)), &text);
            }
        }
    }
    let targets: SmallVec<[(Name<'_>, Name<'_>); USUAL_RECORDS]> =
        records.iter().filter_map(service_target).take(MAX_SERVICES).collect();
    let mut known: SmallVec<[Name<'_>; USUAL_RECORDS]> = SmallVec::new();
    let pointers = records.iter().filter_map(service_pointer);
    for instance in pointers.chain(targets.iter().map(|(instance, _)| *instance)) {
        if known.len() >= MAX_SERVICES || is_in(&known, instance) {
            continue;
        }
        known.push(instance);
        let Some(name) = instance_name(instance) else {
            continue;
        };
        let target = targets.iter().find(|(name, _)| name.is(instance)).map(|(_, target)| *target);
        // Whose name has addresses here, and none of the sender's, is another.
        let other = target
            .filter(|target| !is_in(&own, *target))
            .and_then(|target| hosts.iter().find(|host| host.name.is(target)));
        let (mac, ip) = other.map_or((seen.src.mac, seen.src.ip), |host| (MacAddr::NONE, host.ip));
        found.add_sighting(seen, SightingKind::MdnsService, (mac, Some(ip)), &clean(name.octets()));
    }
}

/// A name at an address.
struct Host<'a> {
    name: Name<'a>,
    ip: [u8; 16],
}

impl<'a> Host<'a> {
    fn read(record: &Record<'a>) -> Option<Self> {
        Some(Self { name: record.name, ip: record.data.address(record.rtype)? })
    }
}

fn is_in(names: &[Name<'_>], name: Name<'_>) -> bool {
    names.iter().any(|known| known.is(name))
}

/// In a question, answers are what the asker knows already of others (RFC 6762,
/// section 7.1), and the authority section is what it is about to claim (section
/// 8.2). Without time to live a record is taken back (section 10.1).
fn is_claim(message: &Message<'_>, record: &Record<'_>) -> bool {
    record.ttl_secs != 0 && (message.is_response() || record.section == Section::Authority)
}

/// An instance and the host that offers it.
fn service_target<'a>(record: &Record<'a>) -> Option<(Name<'a>, Name<'a>)> {
    // Priority, weight and port come first (RFC 2782).
    (RecordType(record.rtype) == RecordType::SRV)
        .then(|| record.data.name_ending_after(6))?
        .map(|target| (record.name, target))
}

/// The instance that a service's name points to (RFC 6763, section 4.1).
fn service_pointer<'a>(record: &Record<'a>) -> Option<Name<'a>> {
    (RecordType(record.rtype) == RecordType::PTR).then(|| record.data.name())?
}

/// `Kitchen._hue._tcp`, if that is the form of the name: what points to services
/// themselves (RFC 6763, section 9) and to hosts has another.
fn instance_name(name: Name<'_>) -> Option<Joined> {
    let mut labels = name.labels();
    let (Some(instance), Some(service), Some(transport), Some(top), None) =
        (labels.next(), labels.next(), labels.next(), labels.next(), labels.next())
    else {
        return None;
    };
    let is_service = service.starts_with(b"_")
        && is_local(top)
        && [b"_tcp", b"_udp"].into_iter().any(|known| transport.eq_ignore_ascii_case(known));
    // The instance is UTF-8 for people to read (section 4.1.1), dots and all.
    (is_service && !instance.starts_with(b"_")).then(|| [instance, service, transport].into_iter().collect())
}

/// A host's name without `.local`.
fn local_name(name: Name<'_>) -> Option<Joined> {
    let before_top = name.labels().count().checked_sub(1)?;
    is_local(name.labels().nth(before_top)?).then(|| name.labels().take(before_top).collect())
}

/// Labels with dots between them, without memory of its own.
struct Joined {
    octets: [u8; MAX_NAME_OCTETS],
    length: usize,
}

impl Joined {
    fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// What does not fit is left out.
    fn push(&mut self, octets: &[u8]) {
        if let Some(place) = self.octets.get_mut(self.length..self.length + octets.len()) {
            place.copy_from_slice(octets);
            self.length += octets.len();
        }
    }
}

impl<'a> FromIterator<&'a [u8]> for Joined {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(labels: I) -> Self {
        let mut joined = Self { octets: [0; MAX_NAME_OCTETS], length: 0 };
        for label in labels {
            if joined.length > 0 {
                joined.push(b".");
            }
            joined.push(label);
        }
        joined
    }
}

/// RFC 6762, section 3.
fn is_local(top: &[u8]) -> bool {
    top.eq_ignore_ascii_case(b"local")
}

/// So many need no memory; most messages have fewer.
const USUAL_RECORDS: usize = 8;
/// A device with much to show has some dozen in a message of up to 9,000 octets.
const MAX_RECORDS: usize = 256;
/// Of some dozen services; each is compared with those before it.
const MAX_SERVICES: usize = 32;
/// A device has some addresses, and a reflector repeats some devices.
const MAX_HOSTS: usize = 64;
/// A device has one name, or two.
const MAX_OWN_NAMES: usize = 4;

#[cfg(test)]
mod tests {
    use iotq_proto::DnsKind;

    use super::*;
    use crate::names::dns::{
        Transactions,
        tests::{Builder, seen_at, wire_name},
    };

    const DEVICE: (u8, u16) = (20, 5353);
    const ALL: (u8, u16) = (251, 5353);

    /// Kind, MAC, last octet of the address, text.
    fn shown(message: Builder) -> Vec<(SightingKind, MacAddr, u8, String)> {
        let mut found = Found::default();
        let octets = message.build();
        assert!(Transactions::default().observe(DnsKind::Mdns, &seen_at(1, DEVICE, ALL), &octets, &mut found));
        let sightings = found.take_sightings();
        sightings.into_iter().map(|s| (s.kind, s.mac, s.ip.map_or(0, |ip| ip[15]), s.text)).collect()
    }

    fn own_mac() -> MacAddr {
        seen_at(1, DEVICE, ALL).src.mac
    }

    fn host(mac: MacAddr, last: u8, text: &str) -> (SightingKind, MacAddr, u8, String) {
        (SightingKind::MdnsHostName, mac, last, text.to_owned())
    }

    fn service(mac: MacAddr, last: u8, text: &str) -> (SightingKind, MacAddr, u8, String) {
        (SightingKind::MdnsService, mac, last, text.to_owned())
    }

    fn srv(target: &str) -> Vec<u8> {
        [&[0, 0, 0, 0, 0, 80], &wire_name(target)[..]].concat()
    }

    #[test]
    fn a_name_at_the_senders_address_is_its_own_at_all_addresses() {
        let v6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        let message = Builder::response(0, 0).record(1, "Plug.local", 1, 120, &[192, 0, 2, 20]).record(
            3,
            "plug.local",
            28,
            120,
            &v6,
        );
        assert_eq!(shown(message), [host(own_mac(), 20, "Plug"), host(own_mac(), 7, "plug")]);
    }

    #[test]
    fn names_that_a_proxy_repeats_are_not_its_own() {
        let message = Builder::response(0, 0)
            .record(1, "_http._tcp.local", 12, 120, &wire_name("Site._http._tcp.local"))
            .record(3, "Site._http._tcp.local", 33, 120, &srv("nas.local"))
            .record(3, "nas.local", 1, 120, &[192, 0, 2, 33]);
        let expected = [host(MacAddr::NONE, 33, "nas"), service(MacAddr::NONE, 33, "Site._http._tcp")];
        assert_eq!(shown(message), expected);
    }

    #[test]
    fn services_are_the_senders_if_nothing_says_otherwise() {
        let message = Builder::response(0, 0)
            .record(1, "_services._dns-sd._udp.local", 12, 120, &wire_name("_hue._tcp.local"))
            .record(1, "_hue._tcp.local", 12, 120, &wire_name("Kitchen light._hue._tcp.local"))
            .record(1, "20.2.0.192.in-addr.arpa", 12, 120, &wire_name("hue.local"))
            .record(1, "KITCHEN LIGHT._hue._tcp.local", 33, 120, &srv("hue.local"));
        assert_eq!(shown(message), [service(own_mac(), 20, "Kitchen light._hue._tcp")]);
    }

    #[test]
    fn probes_claim_and_known_answers_and_goodbyes_do_not() {
        let probe = Builder::query(0).question("plug.local", 255).record(2, "plug.local", 1, 120, &[192, 0, 2, 20]);
        assert_eq!(shown(probe), [host(own_mac(), 20, "plug")]);
        let known = Builder::query(0).question("plug.local", 255).record(1, "plug.local", 1, 120, &[192, 0, 2, 20]);
        assert_eq!(shown(known), []);
        assert_eq!(shown(Builder::response(0, 0).record(1, "plug.local", 1, 0, &[192, 0, 2, 20])), []);
        assert_eq!(shown(Builder::response(0, 0).record(1, "example.com", 1, 60, &[192, 0, 2, 20])), []);
    }
}
