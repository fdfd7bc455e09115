//! DNS messages (RFC 1035, section 4), as far as they were captured.

use super::name::Name;
use crate::names::octets::Octets;

/// A message with a plausible header.
#[derive(Clone, Copy, Debug)]
pub(in crate::names) struct Message<'a> {
    octets: &'a [u8],
    pub(in crate::names) id: u16,
    flags: u16,
    /// Of questions, answers, authority and additional records, as the header says.
    counts: [u16; 4],
}

/// RFC 1035, section 4.1.2.
#[derive(Clone, Copy, Debug)]
pub(in crate::names) struct Question<'a> {
    pub(in crate::names) name: Name<'a>,
    pub(in crate::names) qtype: u16,
}

/// RFC 1035, section 4.1.3.
#[derive(Clone, Copy, Debug)]
pub(in crate::names) struct Record<'a> {
    pub(in crate::names) section: Section,
    pub(in crate::names) name: Name<'a>,
    pub(in crate::names) rtype: u16,
    pub(in crate::names) ttl_secs: u32,
    pub(in crate::names) data: Data<'a>,
}

/// Where in a message a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::names) enum Section {
    Answer,
    Authority,
    Additional,
}

/// A record's data, with the message that names in it point into.
#[derive(Clone, Copy, Debug)]
pub(in crate::names) struct Data<'a> {
    /// Up to the end of the data.
    message: &'a [u8],
    at: usize,
}

impl<'a> Message<'a> {
    /// `None`: the header is cut, or no DNS message has one like it.
    pub(in crate::names) fn read(octets: &'a [u8]) -> Option<Self> {
        let mut header = Octets(octets);
        let [id, flags] = [header.be16()?, header.be16()?];
        let counts = [header.be16()?, header.be16()?, header.be16()?, header.be16()?];
        let message = Self { octets, id, flags, counts };
        let [questions, records @ ..] = counts.map(usize::from);
        let least = HEADER_OCTETS + questions * MIN_QUESTION_OCTETS + records.iter().sum::<usize>() * MIN_RECORD_OCTETS;
        let is_plausible = matches!(message.opcode(), 0..=2 | 4..=6) && flags & RESERVED == 0 && least <= MAX_MESSAGE;
        is_plausible.then_some(message)
    }

    pub(in crate::names) fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    pub(in crate::names) fn is_standard_query(&self) -> bool {
        self.opcode() == 0
    }

    /// The header's four bits.
    pub(in crate::names) fn rcode(&self) -> u16 {
        self.flags & 0x000f
    }

    /// Whether there are neither questions nor records, by the header.
    pub(in crate::names) fn is_bare(&self) -> bool {
        self.counts == [0; 4]
    }

    pub(in crate::names) fn question_count(&self) -> usize {
        let [questions, ..] = self.counts;
        questions.into()
    }

    /// Those that are whole.
    pub(in crate::names) fn questions(&self) -> impl Iterator<Item = Question<'a>> {
        let mut walk = Walk { octets: self.octets, at: HEADER_OCTETS };
        (0..self.question_count()).map_while(move |_| walk.question())
    }

    /// Those that are whole, in the order of the message; none if the questions are not.
    pub(in crate::names) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        let mut walk = Walk { octets: self.octets, at: HEADER_OCTETS };
        let questions_are_whole = (0..self.question_count()).all(|_| walk.question().is_some());
        let [_, answers, authorities, additionals] = self.counts.map(usize::from);
        let sections = std::iter::repeat_n(Section::Answer, answers)
            .chain(std::iter::repeat_n(Section::Authority, authorities))
            .chain(std::iter::repeat_n(Section::Additional, additionals));
        sections.take_while(move |_| questions_are_whole).map_while(move |section| walk.record(section))
    }

    fn opcode(&self) -> u16 {
        (self.flags >> 11) & 0x000f
    }
}

impl<'a> Data<'a> {
    pub(in crate::names) fn octets(self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    /// The name that begins after the first `skipped` octets, and what follows it.
    pub(in crate::names) fn name_after(self, skipped: usize) -> Option<(Name<'a>, &'a [u8])> {
        let (name, next) = Name::read(self.message, self.at + skipped)?;
        Some((name, self.message.get(next..)?))
    }

    /// The name that all of it is.
    pub(in crate::names) fn name(self) -> Option<Name<'a>> {
        self.name_ending_after(0)
    }

    /// The name that all of it is but for the first `skipped` octets.
    pub(in crate::names) fn name_ending_after(self, skipped: usize) -> Option<Name<'a>> {
        self.name_after(skipped).filter(|(_, rest)| rest.is_empty()).map(|(name, _)| name)
    }

    /// An A or AAAA record's address, IPv4 as `::ffff:0:0/96`.
    pub(in crate::names) fn address(self, rtype: u16) -> Option<[u8; 16]> {
        match rtype {
            A => self.octets().try_into().ok().map(|octets: [u8; 4]| {
                let [a, b, c, d] = octets;
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
            }),
            AAAA => self.octets().try_into().ok(),
            _ => None,
        }
    }
}

/// A place in a message.
struct Walk<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn question(&mut self) -> Option<Question<'a>> {
        let (name, next) = Name::read(self.octets, self.at)?;
        let mut fields = Octets(self.octets.get(next..)?);
        let (qtype, class) = (fields.be16()?, fields.be16()?);
        // RFC 6762, section 5.4: the top bit asks for a unicast answer.
        if !matches!(class & 0x7fff, INTERNET | CHAOS | HESIOD | NONE | ANY) {
            return None;
        }
        self.at = next + 4;
        Some(Question { name, qtype })
    }

    fn record(&mut self, section: Section) -> Option<Record<'a>> {
        let (name, next) = Name::read(self.octets, self.at)?;
        let mut fields = Octets(self.octets.get(next..)?);
        let (rtype, _class, ttl_secs, length) = (fields.be16()?, fields.be16()?, fields.be32()?, fields.be16()?);
        let at = next + RECORD_FIELDS_OCTETS;
        let end = at + usize::from(length);
        let data = Data { message: self.octets.get(..end)?, at };
        self.at = end;
        Some(Record { section, name, rtype, ttl_secs, data })
    }
}

// RFC 1035, section 4.1.1.
const HEADER_OCTETS: usize = 12;
const RESPONSE: u16 = 0x8000;
/// The one bit that no RFC uses (RFC 6895, section 2.1).
const RESERVED: u16 = 0x0040;
/// The root, type and class.
const MIN_QUESTION_OCTETS: usize = 5;
/// Type, class, TTL and length.
const RECORD_FIELDS_OCTETS: usize = 10;
const MIN_RECORD_OCTETS: usize = 1 + RECORD_FIELDS_OCTETS;
/// UDP's and TCP's length fields have 16 bits.
const MAX_MESSAGE: usize = 0xffff;
// IANA "DNS CLASSes".
const INTERNET: u16 = 1;
const CHAOS: u16 = 3;
const HESIOD: u16 = 4;
const NONE: u16 = 254;
const ANY: u16 = 255;
// IANA "Resource Record (RR) TYPEs".
const A: u16 = 1;
const AAAA: u16 = 28;
