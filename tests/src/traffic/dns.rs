//! DNS and mDNS messages (RFC 1035, RFC 6762).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address of an IPv4 host.
pub const A: u16 = 1;
/// Another name for it.
pub const CNAME: u16 = 5;
/// A pointer to a name.
pub const PTR: u16 = 12;
/// Address of an IPv6 host.
pub const AAAA: u16 = 28;
/// In mDNS: this record replaces what was cached (RFC 6762, section 10.2).
const CACHE_FLUSH: u16 = 0x8000;
const IN: u16 = 1;

/// What a record says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// An address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name this one stands for.
    Cname(String),
    /// A name that this one points to.
    Ptr(String),
}

impl Data {
    /// The record that holds an address, of either IP version.
    #[must_use]
    pub fn address(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::A(ip),
            IpAddr::V6(ip) => Self::Aaaa(ip),
        }
    }
}

/// One resource record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// A question with recursion desired.
#[must_use]
pub fn question(id: u16, qname: &str, qtype: u16) -> Vec<u8> {
    let mut message = header(id, 0x0100, 1, 0);
    push_question(&mut message, qname, qtype);
    message
}

/// The answer to [`question`] of the same arguments.
#[must_use]
pub fn answer(id: u16, qname: &str, qtype: u16, records: &[Record]) -> Vec<u8> {
    let mut message = header(id, 0x8180, 1, records.len());
    push_question(&mut message, qname, qtype);
    for record in records {
        push_record(&mut message, record, IN);
    }
    message
}

/// "No such name", with the question repeated.
#[must_use]
pub fn no_such_name(id: u16, qname: &str, qtype: u16) -> Vec<u8> {
    let mut message = header(id, 0x8183, 1, 0);
    push_question(&mut message, qname, qtype);
    message
}

/// What a device calls to its link: questions, and records of its own.
#[must_use]
pub fn mdns_query(qname: &str, qtype: u16) -> Vec<u8> {
    let mut message = header(0, 0, 1, 0);
    push_question(&mut message, qname, qtype);
    message
}

/// An mDNS announcement of records that replace older ones.
#[must_use]
pub fn mdns_announcement(records: &[Record]) -> Vec<u8> {
    let mut message = header(0, 0x8400, 0, records.len());
    for record in records {
        // Pointers to services are shared between devices, addresses are not.
        let class = if matches!(record.data, Data::Ptr(_)) { IN } else { IN | CACHE_FLUSH };
        push_record(&mut message, record, class);
    }
    message
}

fn header(id: u16, flags: u16, questions: u16, answers: usize) -> Vec<u8> {
    let answers = u16::try_from(answers).expect("a generated answer has a handful of records");
    [id, flags, questions, answers, 0, 0].iter().flat_map(|field| field.to_be_bytes()).collect()
}

fn push_question(message: &mut Vec<u8>, qname: &str, qtype: u16) {
    push_name(message, qname);
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&IN.to_be_bytes());
}

fn push_record(message: &mut Vec<u8>, record: &Record, class: u16) {
    let mut data = Vec::new();
    let code = match &record.data {
        Data::A(ip) => {
            data.extend_from_slice(&ip.octets());
            A
        }
        Data::Aaaa(ip) => {
            data.extend_from_slice(&ip.octets());
            AAAA
        }
        Data::Cname(name) => {
            push_name(&mut data, name);
            CNAME
        }
        Data::Ptr(name) => {
            push_name(&mut data, name);
            PTR
        }
    };
    push_name(message, &record.name);
    message.extend_from_slice(&code.to_be_bytes());
    message.extend_from_slice(&class.to_be_bytes());
    message.extend_from_slice(&record.ttl.to_be_bytes());
    message.extend_from_slice(&u16::try_from(data.len()).expect("a name has at most 255 octets").to_be_bytes());
    message.extend_from_slice(&data);
}

fn push_name(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).ok().filter(|len| *len < 64).expect("a label has at most 63 octets"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_rfc_1035_section_4_1_2_says() {
        let message = question(0x1234, "a.example.com", A);
        assert_eq!(
            message,
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x03com\x00\x00\x01\x00\x01"
        );
    }

    #[test]
    fn an_answer_repeats_the_question_and_follows_the_chain() {
        let records = [
            Record { name: "a.example.com".into(), ttl: 60, data: Data::Cname("b.example.com".into()) },
            Record { name: "b.example.com".into(), ttl: 9, data: Data::A(Ipv4Addr::new(192, 0, 2, 1)) },
        ];
        let message = answer(1, "a.example.com", A, &records);
        assert_eq!(message[2..8], [0x81, 0x80, 0, 1, 0, 2]);
        assert!(
            message.ends_with(b"\x01b\x07example\x03com\x00\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04\xc0\x00\x02\x01")
        );
    }

    #[test]
    fn an_ipv6_address_is_of_type_28() {
        let ip = "2001:db8::7".parse().unwrap();
        let records = [Record { name: "a.example.com".into(), ttl: 60, data: Data::address(ip) }];
        let message = answer(1, "a.example.com", AAAA, &records);
        assert!(
            message.ends_with(b"\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07")
        );
    }

    #[test]
    fn an_announcement_flushes_addresses_only() {
        let message = mdns_announcement(&[Record {
            name: "bulb.local".into(),
            ttl: 120,
            data: Data::A(Ipv4Addr::new(192, 0, 2, 1)),
        }]);
        assert!(message.ends_with(b"\x00\x01\x80\x01\x00\x00\x00\x78\x00\x04\xc0\x00\x02\x01"));
    }
}
