//! DNS messages built here, and what becomes of them.

use iotq_proto::{DnsKind, MacAddr, Timestamp, VlanId, v1};
use proptest::prelude::*;

use super::Transactions;
use crate::{
    names::{found::Found, seen::Seen},
    packet::Endpoint,
};

/// Writes messages as the wire has them.
#[derive(Clone, Default)]
pub(in crate::names) struct Builder {
    head: [u16; 2],
    counts: [u16; 4],
    body: Vec<u8>,
}

impl Builder {
    pub(in crate::names) fn query(id: u16) -> Self {
        Self { head: [id, 0x0100], ..Self::default() }
    }

    pub(in crate::names) fn response(id: u16, rcode: u16) -> Self {
        Self { head: [id, 0x8180 | rcode], ..Self::default() }
    }

    pub(in crate::names) fn question(mut self, name: &str, qtype: u16) -> Self {
        self.counts[0] += 1;
        self.body.extend(wire_name(name));
        self.body.extend([qtype.to_be_bytes(), [0, 1]].concat());
        self
    }

    /// `section` counts from 1, the answers.
    pub(in crate::names) fn record(mut self, section: usize, name: &str, rtype: u16, ttl: u32, data: &[u8]) -> Self {
        self.counts[section] += 1;
        self.body.extend(wire_name(name));
        self.body.extend([rtype.to_be_bytes(), [0x80, 1]].concat());
        self.body.extend(ttl.to_be_bytes());
        self.body.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        self.body.extend(data);
        self
    }

    pub(in crate::names) fn build(self) -> Vec<u8> {
        let header = self.head.into_iter().chain(self.counts).flat_map(u16::to_be_bytes);
        header.chain(self.body).collect()
    }
}

pub(in crate::names) fn wire_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

/// What is sent from 192.0.2.`src`, whose MAC ends the same.
pub(in crate::names) fn seen_at(secs: i64, src: (u8, u16), dst: (u8, u16)) -> Seen {
    let end = |(host, port): (u8, u16)| Endpoint {
        ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, host],
        port,
        mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, host]),
    };
    Seen {
        at: Timestamp::from_nanos(secs * 1_000_000_000).unwrap(),
        src: end(src),
        dst: end(dst),
        vlan: VlanId::UNTAGGED,
        protocol: 17,
        ip_version: 4,
        payload_bytes: 1000,
    }
}

const CLIENT: (u8, u16) = (10, 40000);
const SERVER: (u8, u16) = (53, 53);

fn question(secs: i64) -> Seen {
    seen_at(secs, CLIENT, SERVER)
}

fn reply(secs: i64) -> Seen {
    seen_at(secs, SERVER, CLIENT)
}

fn moved(found: &mut Found) -> Vec<v1::DnsTransaction> {
    let mut batch = v1::Batch::default();
    assert!(!found.move_into(&mut batch));
    batch.dns
}

/// Whether the question was seen, name, type, rcode and data of the answers.
type Summary = (bool, String, u32, Option<u32>, Vec<String>);

fn summary(found: &mut Found) -> Vec<Summary> {
    let data = |dns: &v1::DnsTransaction| dns.answers.iter().map(|record| record.data.clone()).collect();
    moved(found).iter().map(|dns| (dns.question_seen, dns.qname.clone(), dns.qtype, dns.rcode, data(dns))).collect()
}

#[test]
fn an_answer_is_matched_to_the_oldest_open_question_like_it() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    let query = Builder::query(7).question("WWW.example.com", 1).build();
    let answer = Builder::response(7, 0)
        .question("www.Example.com", 1)
        .record(1, "www.example.com", 5, 60, &wire_name("cdn.example.net"))
        .record(1, "cdn.example.net", 1, 60, &[198, 51, 100, 7])
        .record(2, "example.net", 2, 60, &wire_name("ns.example.net"))
        .build();
    for secs in [1, 2] {
        assert!(dns.observe(DnsKind::Dns, &question(secs), &query, &mut found));
    }
    assert!(moved(&mut found).is_empty());
    assert!(dns.observe(DnsKind::Dns, &reply(3), &answer, &mut found));
    let [first] = moved(&mut found).try_into().unwrap();
    assert_eq!((first.asked_at_ns, first.answered_at_ns), (1_000_000_000, Some(3_000_000_000)));
    assert_eq!((first.client_mac, first.client_port, first.server_port), (0x5e00_530a, 40000, 53));
    let data: Vec<_> = first.answers.iter().map(|record| record.data.as_str()).collect();
    assert_eq!((first.qname.as_str(), data), ("www.example.com", vec!["cdn.example.net", "198.51.100.7"]));
    dns.finish(&mut found);
    assert_eq!(summary(&mut found), [(true, "www.example.com".to_owned(), 1, None, vec![])]);
}

#[test]
fn questions_wait_ten_seconds() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    let query = Builder::query(7).question("example.com", 28).build();
    assert!(dns.observe(DnsKind::Dns, &question(100), &query, &mut found));
    dns.expire(question(110).at, &mut found);
    assert!(moved(&mut found).is_empty());
    dns.expire(question(111).at, &mut found);
    assert_eq!(summary(&mut found), [(true, "example.com".to_owned(), 28, None, vec![])]);
}

#[test]
fn answers_of_another_exchange_answer_nothing() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    assert!(dns.observe(DnsKind::Dns, &question(1), &Builder::query(7).question("example.com", 1).build(), &mut found));
    for (seen, id, name, qtype) in [
        (reply(1), 8, "example.com", 1),
        (reply(1), 7, "example.org", 1),
        (reply(1), 7, "example.com", 28),
        (seen_at(1, (54, 53), CLIENT), 7, "example.com", 1),
        (seen_at(1, SERVER, (10, 40001)), 7, "example.com", 1),
    ] {
        assert!(dns.observe(DnsKind::Dns, &seen, &Builder::response(id, 3).question(name, qtype).build(), &mut found));
        assert_eq!(summary(&mut found), [(false, name.to_owned(), qtype.into(), Some(3), vec![])]);
    }
}

#[test]
fn a_refusal_without_the_question_answers_the_oldest() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    assert!(dns.observe(DnsKind::Dns, &question(1), &Builder::query(7).question("example.com", 1).build(), &mut found));
    assert!(dns.observe(DnsKind::Dns, &reply(2), &Builder::response(7, 1).build(), &mut found));
    assert_eq!(summary(&mut found), [(true, "example.com".to_owned(), 1, Some(1), vec![])]);
}

#[test]
fn rcodes_have_twelve_bits_with_edns() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    let answer = Builder::response(7, 0).question("example.com", 1).record(3, "", 41, 0x0100_0000, &[]).build();
    assert!(dns.observe(DnsKind::Dns, &reply(1), &answer, &mut found));
    assert_eq!(summary(&mut found), [(false, "example.com".to_owned(), 1, Some(16), vec![])]);
}

#[test]
fn llmnr_is_answered_by_whoever_has_the_name() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    let query = Builder::query(9).question("printer", 1).build();
    assert!(dns.observe(DnsKind::Llmnr, &seen_at(1, CLIENT, (252, 5355)), &query, &mut found));
    let answer = Builder::response(9, 0).question("printer", 1).record(1, "printer", 1, 30, &[192, 0, 2, 20]).build();
    assert!(dns.observe(DnsKind::Llmnr, &seen_at(1, (20, 5355), CLIENT), &answer, &mut found));
    assert_eq!(summary(&mut found), [(true, "printer".to_owned(), 1, Some(0), vec!["192.0.2.20".to_owned()])]);
}

#[test]
fn what_is_whole_of_a_cut_answer_is_read() {
    let answer = Builder::response(7, 0)
        .question("example.com", 1)
        .record(1, "example.com", 1, 60, &[198, 51, 100, 7])
        .record(1, "example.com", 1, 60, &[198, 51, 100, 8])
        .build();
    let read = |octets| {
        let (mut dns, mut found) = (Transactions::default(), Found::default());
        dns.observe(DnsKind::Dns, &reply(1), octets, &mut found);
        summary(&mut found).pop().map(|(_, qname, _, _, data)| (qname, data.len()))
    };
    let cut = |octets: usize| read(&answer[..answer.len() - octets]);
    assert_eq!(cut(0), Some(("example.com".to_owned(), 2)));
    assert_eq!(cut(1), Some(("example.com".to_owned(), 1)));
    assert_eq!(cut(54), Some(("example.com".to_owned(), 0)));
    assert_eq!(cut(55), None);
}

#[test]
fn what_is_no_dns_invents_nothing() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    let update = [7u16, 0x2800, 1, 0, 0, 0].into_iter().flat_map(u16::to_be_bytes).chain(*b"\x03com\0\0\x06\0\x01");
    for (octets, is_message) in [
        (b"".to_vec(), false),
        (b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec(), false),
        (vec![0; 64], false),
        (vec![0xff; 64], false),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), false),
        (Builder::query(1).build(), false),
        (update.collect(), true),
    ] {
        assert_eq!(dns.observe(DnsKind::Dns, &question(1), &octets, &mut found), is_message, "{octets:?}");
    }
    dns.finish(&mut found);
    assert!(moved(&mut found).is_empty());
}

#[test]
fn records_have_their_text() {
    let text = |rtype, data: &[u8]| {
        let (mut dns, mut found) = (Transactions::default(), Found::default());
        let answer = Builder::response(7, 0).question("a", rtype).record(1, "a", rtype, 60, data).build();
        dns.observe(DnsKind::Dns, &reply(1), &answer, &mut found);
        let [(_, _, _, _, data)] = summary(&mut found).try_into().unwrap();
        data.into_iter().next().unwrap()
    };
    let with_name = |before: &[u8], name: &str, after: &[u8]| [before, &wire_name(name), after].concat();
    assert_eq!(text(1, &[192, 0, 2, 1]), "192.0.2.1");
    assert_eq!(text(1, &[192, 0, 2]), r"\# 3 c00002");
    assert_eq!(text(28, &[0; 16]), "::");
    assert_eq!(text(15, &with_name(&[0, 10], "mx.example.com", &[])), "10 mx.example.com");
    assert_eq!(text(33, &with_name(&[0, 1, 0, 2, 1, 187], "Host.example.com", &[])), "1 2 443 host.example.com");
    assert_eq!(text(33, &with_name(&[0, 1, 0, 2, 1, 187], "host.example.com", &[9])).get(..3), Some(r"\# "));
    let soa =
        [&wire_name("ns.a")[..], &wire_name("mail.a"), &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]];
    assert_eq!(text(6, &soa.concat()), "ns.a mail.a 1 2 3 4 5");
    assert_eq!(text(16, b"\x03a\"b\x00\x02\xc3\xbc"), r#""a\"b" "" "\195\188""#);
    assert_eq!(text(16, b"\x09a"), r"\# 2 0961");
    assert_eq!(text(65_280, &[]), r"\# 0");
    assert_eq!(text(46, &[0xab; 300]).len(), "\\# 300 ".len() + 128);
    assert!(text(16, &[b"\xff".as_slice(), &[7; 255]].concat().repeat(9)).len() <= 1024);
    let https = [
        &[0, 1, 0][..],
        b"\0\x01\0\x06\x02h3\x02h2",
        b"\0\x03\0\x02\x20\xfb",
        b"\0\x04\0\x08\xc6\x33\x64\x01\xc6\x33\x64\x02",
        b"\0\x05\0\x03abc",
        b"\0\x06\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"\0\x07\0\x02/q",
    ];
    assert_eq!(
        text(65, &https.concat()),
        "1 . alpn=h3,h2 port=8443 ipv4hint=198.51.100.1,198.51.100.2 ech=(3 octets) ipv6hint=2001:db8::1 dohpath=\"/q\""
    );
}

#[test]
fn open_questions_are_bounded() {
    let (mut dns, mut found) = (Transactions::default(), Found::default());
    let query = |id| Builder::query(id).question("example.com", 1).build();
    for _ in 0..100 {
        assert!(dns.observe(DnsKind::Dns, &question(1), &query(1), &mut found));
    }
    assert_eq!(moved(&mut found).len(), 100 - super::MAX_OPEN_AT_ONCE);
    let mut given_up = 0;
    for id in 0..u16::MAX {
        assert!(dns.observe(DnsKind::Dns, &question(1), &query(id), &mut found));
        given_up += moved(&mut found).len();
    }
    assert_eq!(given_up, usize::from(u16::MAX) + super::MAX_OPEN_AT_ONCE - super::MAX_OPEN);
}

proptest! {
    #[test]
    fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..600), kind in 1..4) {
        let (mut dns, mut found) = (Transactions::default(), Found::default());
        dns.observe(DnsKind::try_from(kind).unwrap(), &question(1), &octets, &mut found);
        dns.finish(&mut found);
    }

    /// Octets that look more like DNS than chance does: a good message with some spoiled.
    #[test]
    fn spoiled_messages_are_read_without_panic(
        spoiled in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        kind in 1..4,
        data in proptest::collection::vec(any::<u8>(), 0..80),
        rtype in prop::sample::select(vec![1u16, 2, 5, 6, 12, 15, 16, 28, 33, 41, 47, 64, 65]),
        is_response: bool,
    ) {
        let head = if is_response { Builder::response(7, 0) } else { Builder::query(7) };
        let mut octets = head
            .question("_http._tcp.local", 12)
            .record(1, "_http._tcp.local", 12, 60, b"\x04site\xc0\x0c")
            .record(1, "site._http._tcp.local", rtype, 60, &data)
            .record(3, "host.local", 1, 60, &[192, 0, 2, 53])
            .build();
        for (at, octet) in spoiled {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        let (mut dns, mut found) = (Transactions::default(), Found::default());
        dns.observe(DnsKind::try_from(kind).unwrap(), &reply(1), &octets, &mut found);
        dns.finish(&mut found);
    }

    /// What was asked and answered comes out: each question once, with its answer.
    #[test]
    fn what_is_built_is_read_back(
        names in proptest::collection::vec("[a-zA-Z0-9_-]{1,20}(\\.[a-zA-Z0-9-]{1,20}){0,3}", 1..20),
        answered in proptest::collection::vec(any::<bool>(), 20),
        ip: [u8; 4],
    ) {
        let (mut dns, mut found) = (Transactions::default(), Found::default());
        for (id, name) in (0..).zip(&names) {
            dns.observe(DnsKind::Dns, &question(1), &Builder::query(id).question(name, 1).build(), &mut found);
        }
        for ((id, name), answered) in (0..).zip(&names).zip(&answered) {
            if *answered {
                let answer = Builder::response(id, 0).question(name, 1).record(1, name, 1, 60, &ip).build();
                dns.observe(DnsKind::Dns, &reply(2), &answer, &mut found);
            }
        }
        dns.finish(&mut found);
        let mut read = summary(&mut found);
        let text = std::net::Ipv4Addr::from(ip).to_string();
        let mut built: Vec<_> = names.iter().zip(answered).map(|(name, answered)| {
            let answers = if answered { vec![text.clone()] } else { vec![] };
            (true, name.to_ascii_lowercase(), 1, answered.then_some(0), answers)
        }).collect();
        read.sort();
        built.sort();
        prop_assert_eq!(read, built);
    }
}
