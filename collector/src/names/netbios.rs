//! NetBIOS name service (RFC 1002, section 4.2): the names that devices register,
//! and those they answer to.

use iotq_proto::{MacAddr, SightingKind};

use super::{found::Found, octets::Octets, seen::Seen, text::clean};

/// Reads a UDP payload. Whether it is a packet of this service.
pub(super) fn observe(seen: &Seen, payload: &[u8], found: &mut Found) -> bool {
    let Some(packet) = Packet::read(payload) else {
        return false;
    };
    let own = (seen.src.mac, Some(seen.src.ip));
    match (packet.is_response, packet.opcode) {
        // Sections 4.2.2 and 4.2.4: the record holds what the question is about.
        (false, REGISTRATION | REFRESH | REFRESH_TOO | MULTI_HOMED) => {
            if let (Some(name), Some(record)) = (packet.question, packet.record.filter(|record| record.rtype == NB)) {
                add_addresses(seen, name, record.data, found);
            }
        }
        // Section 4.2.13: where a name is.
        (true, QUERY) => match packet.record {
            Some(Record { name: Some(name), rtype: NB, data }) => add_addresses(seen, name, data, found),
            // Section 4.2.18: all names that the sender has.
            Some(Record { rtype: NBSTAT, data, .. }) => {
                let mut octets = Octets(data);
                let count = octets.u8().unwrap_or_default();
                for _ in 0..count {
                    let (Some(name), Some(flags)) = (octets.array(), octets.be16()) else {
                        break;
                    };
                    add(seen, Name(name), flags, own, found);
                }
            }
            _ => {}
        },
        _ => {}
    }
    true
}

/// Each address is behind flags of its own (section 4.2.1.3).
fn add_addresses(seen: &Seen, name: Name, data: &[u8], found: &mut Found) {
    let (entries, _) = data.as_chunks();
    for [f0, f1, a, b, c, d] in entries.iter().take(MAX_ADDRESSES) {
        let ip = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, *a, *b, *c, *d];
        // A name server answers for others.
        let mac = if ip == seen.src.ip { seen.src.mac } else { MacAddr::NONE };
        add(seen, name, u16::from_be_bytes([*f0, *f1]), (mac, Some(ip)), found);
    }
}

fn add(seen: &Seen, name: Name, flags: u16, device: (MacAddr, Option<[u8; 16]>), found: &mut Found) {
    if flags & GROUP == 0
        && let Some(text) = name.of_device()
    {
        found.add_sighting(seen, SightingKind::NetbiosName, device, &text);
    }
}

struct Packet<'a> {
    is_response: bool,
    opcode: u16,
    question: Option<Name>,
    /// The first of whatever section.
    record: Option<Record<'a>>,
}

struct Record<'a> {
    /// `None`: it points to the question's.
    name: Option<Name>,
    rtype: u16,
    data: &'a [u8],
}

/// Fifteen octets of text, and one that says what it is the name of.
#[derive(Clone, Copy)]
struct Name([u8; 16]);

impl<'a> Packet<'a> {
    /// `None`: it has no name in it that could be one.
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut octets = Octets(payload);
        let (_id, flags) = (octets.be16()?, octets.be16()?);
        let [questions, records @ ..] = [octets.be16()?, octets.be16()?, octets.be16()?, octets.be16()?];
        let question = if questions > 0 {
            let name = Name::read(&mut octets)?;
            octets.take(4)?;
            name
        } else {
            None
        };
        let record = if records == [0; 3] { None } else { Record::read(&mut octets) };
        let has_name = question.is_some() || record.as_ref().is_some_and(|record| record.name.is_some());
        has_name.then_some(Self { is_response: flags & 0x8000 != 0, opcode: flags >> 11 & 0x0f, question, record })
    }
}

impl<'a> Record<'a> {
    fn read(octets: &mut Octets<'a>) -> Option<Self> {
        let name = Name::read(octets)?;
        let (rtype, _class, _ttl, length) = (octets.be16()?, octets.be16()?, octets.be32()?, octets.be16()?);
        // What was cut still holds whole names.
        let data = octets.0.get(..length.into()).unwrap_or(octets.0);
        Some(Self { name, rtype, data })
    }
}

impl Name {
    /// Section 4.1, and RFC 1001, section 14.1: each half octet is a letter from
    /// `A` on. `Some(None)`: a pointer to another name.
    fn read(octets: &mut Octets<'_>) -> Option<Option<Self>> {
        let length = octets.u8()?;
        if length >= 0xc0 {
            octets.u8()?;
            return Some(None);
        }
        if length != 32 {
            return None;
        }
        let (pairs, _) = octets.take(32)?.as_chunks();
        let mut name = [0; 16];
        for (octet, [high, low]) in name.iter_mut().zip(pairs) {
            let half = |letter: u8| letter.checked_sub(b'A').filter(|half| *half < 16);
            *octet = half(*high)? << 4 | half(*low)?;
        }
        // The scope: labels up to the root.
        while let Some(length) = octets.u8().filter(|length| *length != 0) {
            octets.take(length.into())?;
        }
        Some(Some(Self(name)))
    }

    /// `None`: of something else than a device: a domain's controllers, a user, a browser.
    fn of_device(self) -> Option<String> {
        let [text @ .., suffix] = self.0;
        let text = text.split(|octet| *octet == 0).next().unwrap_or_default();
        let text = clean(text);
        (matches!(suffix, WORKSTATION | FILE_SERVER) && !text.is_empty()).then(|| text.into_owned())
    }
}

// Section 4.2.1.1.
const QUERY: u16 = 0;
const REGISTRATION: u16 = 5;
const REFRESH: u16 = 8;
/// Section 4.2.1.1 says 8, section 4.2.4 says 9.
const REFRESH_TOO: u16 = 9;
/// Of Windows ([MS-NBTE], section 2.2.1).
const MULTI_HOMED: u16 = 15;
// Section 4.2.1.3.
const NB: u16 = 0x20;
const NBSTAT: u16 = 0x21;
const GROUP: u16 = 0x8000;
// [MS-NBTE], appendix A; the sixteenth octet is the user's to choose in RFC 1001.
const WORKSTATION: u8 = 0x00;
const FILE_SERVER: u8 = 0x20;
/// A device has some.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::dns::tests::seen_at;

    fn encoded(name: &str, suffix: u8) -> Vec<u8> {
        let name = format!("{name:<15}").into_bytes();
        let letters = name.into_iter().chain([suffix]).flat_map(|octet| [b'A' + (octet >> 4), b'A' + (octet & 15)]);
        std::iter::once(32).chain(letters).chain([0]).collect()
    }

    fn packet(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
        let head = [[7, flags].as_slice(), &counts].concat();
        head.into_iter().flat_map(u16::to_be_bytes).chain(parts.concat()).collect()
    }

    fn shown(octets: &[u8]) -> Option<Vec<(String, u8, String)>> {
        let mut found = Found::default();
        let is_packet = observe(&seen_at(1, (20, 137), (255, 137)), octets, &mut found);
        let shown = |s: crate::chunk::Sighting| (s.mac.to_string(), s.ip.unwrap()[15], s.text);
        is_packet.then(|| found.take_sightings().into_iter().map(shown).collect())
    }

    fn registration(name: &str, suffix: u8, flags: u8, host: u8) -> Vec<u8> {
        let record = [0xc0, 12, 0, 0x20, 0, 1, 0, 0, 0, 60, 0, 6, flags, 0, 192, 0, 2, host];
        packet(0x2910, [1, 0, 0, 1], &[&encoded(name, suffix), &[0, 0x20, 0, 1], &record])
    }

    #[test]
    fn devices_register_their_names() {
        let own = ("00:00:5e:00:53:14".to_owned(), 20, "LAPTOP".to_owned());
        assert_eq!(shown(&registration("LAPTOP", 0, 0, 20)), Some(vec![own.clone()]));
        assert_eq!(shown(&registration("LAPTOP", 0x20, 0x60, 20)), Some(vec![own]));
        assert_eq!(shown(&registration("WORKGROUP", 0, 0x80, 20)), Some(vec![]));
        assert_eq!(shown(&registration("WORKGROUP", 0x1d, 0, 20)), Some(vec![]));
        let other = (MacAddr::NONE.to_string(), 21, "LAPTOP".to_owned());
        assert_eq!(shown(&registration("LAPTOP", 0, 0, 21)), Some(vec![other]));
    }

    #[test]
    fn devices_answer_to_their_names() {
        let answer = [0, 0x20, 0, 1, 0, 0, 0, 60, 0, 6, 0, 0, 192, 0, 2, 20];
        let own = Some(vec![("00:00:5e:00:53:14".to_owned(), 20, "NAS".to_owned())]);
        assert_eq!(shown(&packet(0x8500, [0, 1, 0, 0], &[&encoded("NAS", 0x20), &answer])), own);
        let names = [b"NAS            \0\x04\0".as_slice(), b"HOME           \0\x84\0", b"NAS            \x03\x04\0"];
        let status = [&[0, 0x21, 0, 1, 0, 0, 0, 0, 0, 101, 3], &names.concat()[..]].concat();
        assert_eq!(shown(&packet(0x8400, [0, 1, 0, 0], &[&encoded("*", 0), &status])), own);
    }

    #[test]
    fn questions_name_nobody() {
        assert_eq!(shown(&packet(0x0110, [1, 0, 0, 0], &[&encoded("NAS", 0), &[0, 0x20, 0, 1]])), Some(vec![]));
        assert_eq!(shown(b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03www\0\0\x01\0\x01"), None);
        assert_eq!(shown(&[0; 12]), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(
            octets in proptest::collection::vec(any::<u8>(), 0..120),
            flags: u16,
            counts in prop::array::uniform4(0..3u16),
        ) {
            shown(&octets);
            shown(&packet(flags, counts, &[&octets]));
            shown(&packet(flags, counts, &[&encoded("NAS", 0), &octets]));
        }
    }
}
