use iotq_proto::{ServerNameSource, Service, v1};
use proptest::prelude::*;
use rustls::{
    Side,
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{Keys, Version},
};

use super::*;
use crate::names::made::{self, Hello};

/// What a client sends, and what was found in it.
#[derive(Default)]
struct Line {
    initials: Initials,
    found: Found,
    learned: Vec<Learned>,
    at_ns: i64,
}

impl Line {
    fn client(&mut self, datagram: &[u8]) {
        self.send(true, datagram);
    }

    fn send(&mut self, from_client: bool, datagram: &[u8]) {
        let seen = made::datagram(from_client, self.at_ns);
        self.learned.extend(self.initials.observe(&seen, datagram, &mut self.found));
        self.at_ns += 1000;
    }

    fn rows(&mut self) -> Vec<v1::TlsHello> {
        made::hellos(&mut self.found)
    }
}

/// An Initial to be.
struct Sealed<'a> {
    version: u32,
    keys_of: &'a [u8],
    destination_id: &'a [u8],
    token: &'a [u8],
    number: u32,
    side: Side,
}

const OF_CLIENT: Sealed<'static> =
    Sealed { version: 1, keys_of: FIRST_ID, destination_id: FIRST_ID, token: &[], number: 0, side: Side::Client };
const FIRST_ID: &[u8] = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

impl Sealed<'_> {
    /// With padding up to `bytes` of payload.
    fn packet(&self, frames: &[u8], bytes: usize) -> Vec<u8> {
        let (version, type_bits) = match self.version {
            0x6b33_43cf => (Version::V2, 0x10),
            0xff00_001d => (Version::V1Draft, 0),
            _ => (Version::V1, 0),
        };
        let mut payload = frames.to_vec();
        payload.resize(bytes.max(frames.len()).max(4), 0);
        let length = u16::try_from(4 + payload.len() + 16).unwrap() | 0x4000;
        let mut header = [
            &[0xc3 | type_bits][..],
            &self.version.to_be_bytes(),
            &made::vec8(self.destination_id),
            &[0],
            &made::vec8(self.token),
            &length.to_be_bytes(),
            &self.number.to_be_bytes(),
        ]
        .concat();
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let keys = Keys::initial(version, suite, suite.quic_suite().unwrap().quic, self.keys_of, self.side).local;
        let tag = keys.packet.encrypt_in_place(self.number.into(), &header, &mut payload).unwrap();
        let protected = [&payload, tag.as_ref()].concat();
        let number_at = header.len() - 4;
        let (begin, number) = header.split_at_mut(number_at);
        keys.header.encrypt_in_place(&protected[..16], &mut begin[0], number).unwrap();
        [header, protected].concat()
    }
}

fn crypto(offset: usize, octets: &[u8]) -> Vec<u8> {
    let varint = |number: usize| (u32::try_from(number).unwrap() | 0x8000_0000).to_be_bytes();
    [&[6][..], &varint(offset), &varint(octets.len()), octets].concat()
}

fn hello() -> Hello {
    let mut hello = Hello::of_chrome("device.example.com");
    hello.extensions[4].1 = made::alpn(&[b"h3"]);
    hello
}

fn octets(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hexadecimal.bytes().map(|digit| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// RFC 9001, appendix A.2, and RFC 9369, appendix A.2: what goes in, and the
/// begin and the tag of what comes out, which vouches for all between.
#[test]
fn the_initials_of_the_rfcs() {
    let frame = octets(concat!(
        "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0",
        "00000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501",
        "00000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304",
        "000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07",
        "048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff",
    ));
    for (version, begin, tag) in [
        (1, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11", "e221af44860018ab0856972e194cd934"),
        (
            0x6b33_43cf,
            "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
            "a18b2faa745b6fe189cf772a9f84cbfc",
        ),
    ] {
        let packet = Sealed { version, number: 2, ..OF_CLIENT }.packet(&frame, 1162);
        assert_eq!(packet.len(), 1200);
        assert!(packet.starts_with(&octets(begin)) && packet.ends_with(&octets(tag)));

        let mut line = Line::default();
        line.client(&packet);
        let [row] = line.rows().try_into().unwrap();
        assert_eq!(
            (row.sni.as_str(), row.version, row.alpn.as_slice()),
            ("example.com", 0x0304, &["alpn".to_owned()][..])
        );
        assert_eq!((row.transport(), &row.ja4[..10]), (TlsTransport::Quic, "q13d0211an"));
        let [learned] = line.learned.try_into().unwrap();
        assert_eq!((learned.service, learned.server_name_source), (Service::Quic, ServerNameSource::QuicSni));
        assert_eq!(learned.server_name, "example.com");
    }
}

#[test]
fn a_hello_sent_again_is_no_new_row() {
    let mut line = Line::default();
    let frame = crypto(0, &hello().message());
    line.client(&OF_CLIENT.packet(&frame, 1162));
    line.client(&OF_CLIENT.packet(&frame, 1162));
    line.client(&Sealed { number: 1, ..OF_CLIENT }.packet(&frame, 1162));
    // Later the client names the server as the server calls itself.
    line.client(&Sealed { number: 2, destination_id: &[9; 8], ..OF_CLIENT }.packet(&frame, 1162));
    assert_eq!(line.rows().len(), 1);
    assert_eq!(line.learned.len(), 1);
}

#[test]
fn a_hello_after_a_retry_is_the_same_and_another_connection_is_not() {
    let mut line = Line::default();
    let frame = crypto(0, &hello().message());
    line.client(&OF_CLIENT.packet(&frame, 1162));
    let (new, newer) = ([5; 8], [6; 9]);
    line.client(&Sealed { keys_of: &new, destination_id: &new, token: b"token", ..OF_CLIENT }.packet(&frame, 1162));
    assert_eq!(line.rows().len(), 1);
    let other = crypto(0, &Hello { random: [8; 32], ..hello() }.message());
    line.client(&Sealed { keys_of: &newer, destination_id: &newer, ..OF_CLIENT }.packet(&other, 1162));
    assert_eq!(line.rows().len(), 1);
}

#[test]
fn the_first_hello_seen_may_be_the_one_after_a_retry_or_a_version_negotiation() {
    let frame = crypto(0, &hello().message());
    let mut line = Line::default();
    // An unknown version first, and what the server says to it.
    line.client(&Sealed { version: 0x1a2a_3a4a, ..OF_CLIENT }.packet(&frame, 1162));
    line.send(false, &[0x80, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1]);
    line.client(&OF_CLIENT.packet(&frame, 1162));
    assert_eq!(line.rows().len(), 1);
    // Another version on the same connection.
    let other = crypto(0, &Hello { random: [8; 32], ..hello() }.message());
    line.client(&Sealed { version: 0x6b33_43cf, ..OF_CLIENT }.packet(&other, 1162));
    line.client(
        &Sealed { version: 0xff00_001d, keys_of: &[7; 8], destination_id: &[7; 8], ..OF_CLIENT }.packet(&frame, 1162),
    );
    assert_eq!(line.rows().len(), 2);
}

#[test]
fn a_hello_after_a_retry_request_is_a_new_row() {
    let mut line = Line::default();
    let message = hello().message();
    line.client(&OF_CLIENT.packet(&crypto(0, &message), 1162));
    let second = crypto(message.len(), &message);
    line.client(&Sealed { number: 1, destination_id: &[9; 8], ..OF_CLIENT }.packet(&second, 1162));
    line.client(&Sealed { number: 2, destination_id: &[9; 8], ..OF_CLIENT }.packet(&second, 1162));
    assert_eq!(line.rows().len(), 2);
}

#[test]
fn what_servers_send_is_not_read() {
    let frame = crypto(0, &hello().message());
    let of_server = Sealed { side: Side::Server, destination_id: &[3; 8], ..OF_CLIENT };
    for client_first in [false, true] {
        let mut line = Line::default();
        if client_first {
            line.client(&OF_CLIENT.packet(&crypto(0, &[1]), 1162));
        }
        line.send(false, &of_server.packet(&frame, 1162));
        assert!(line.rows().is_empty());
        assert_eq!(line.initials.clients.len(), usize::from(client_first));
    }
}

#[test]
fn other_packets_of_the_datagram_are_passed_over() {
    let message = hello().message();
    let (one, two) = message.split_at(100);
    // 0-RTT, then two Initials, then something with a short header.
    let zero_rtt = [&[0xd0, 0, 0, 0, 1, 8][..], FIRST_ID, &[0, 0x40, 20], &[7; 20]].concat();
    let acks = [&[1, 2, 5, 0, 1, 0, 0, 0][..], &[3, 5, 0, 0, 0, 1, 2, 3], &crypto(100, two)].concat();
    let datagram = [
        zero_rtt,
        OF_CLIENT.packet(&crypto(0, one), 0),
        Sealed { number: 1, ..OF_CLIENT }.packet(&acks, 1000),
        vec![0x41, 1, 2, 3],
    ]
    .concat();
    let mut line = Line::default();
    line.client(&datagram);
    assert_eq!(line.rows().len(), 1);
}

#[test]
fn damage_is_no_hello() {
    let packet = OF_CLIENT.packet(&crypto(0, &hello().message()), 1162);
    for at in (0..packet.len()).step_by(7).chain(0..30) {
        let mut damaged = packet.clone();
        damaged[at] ^= 0x20;
        let mut line = Line::default();
        line.client(&damaged);
        assert!(line.rows().is_empty(), "{at}");
        line.client(&packet[..at]);
        assert!(line.rows().is_empty(), "{at}");
    }
}

#[test]
fn a_flood_stays_within_bounds() {
    let mut initials = Initials::default();
    let mut found = Found::default();
    // The end of a hello that has no begin: all the memory a client can take.
    let packet = OF_CLIENT.packet(&crypto(MAX_CRYPTO - 100, &[0; 100]), 1162);
    for number in 0..5000_u32 {
        let mut seen = made::datagram(true, 0);
        seen.src.ip[..4].copy_from_slice(&number.to_be_bytes());
        initials.observe(&seen, &packet, &mut found);
    }
    assert!(initials.clients.len() <= LIMITS.entries);
    assert!(initials.clients.memory() <= LIMITS.memory + 2 * (MAX_CRYPTO + KEYS_MEMORY));
    assert!(initials.clients.len() > 200);
    initials.expire(Timestamp::from_nanos(61_000_000_000).unwrap());
    assert_eq!(initials.clients.len(), 0);
}

#[test]
fn a_client_is_looked_at_so_often_only() {
    let mut line = Line::default();
    line.client(&OF_CLIENT.packet(&crypto(5, b"x"), 1162));
    for _ in 0..MAX_PACKETS {
        line.client(&OF_CLIENT.packet(&[1], 1162));
    }
    line.client(&OF_CLIENT.packet(&crypto(0, &hello().message()), 1162));
    assert!(line.rows().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any cutting into frames, any order, over any number of packets, with
    /// repetitions: one hello.
    #[test]
    fn a_hello_cut_in_any_way_is_found_once(
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 12),
        per_packet in 1_usize..6,
    ) {
        let message = hello().message();
        let pieces = made::pieces(&message, &cuts);
        let shuffled: Vec<_> = order.iter().map(|index| *index.get(&pieces)).chain(pieces.iter().copied()).collect();
        let mut line = Line::default();
        for (number, chunk) in shuffled.chunks(per_packet).enumerate().take(usize::from(MAX_PACKETS)) {
            let frames: Vec<u8> = chunk.iter().flat_map(|(offset, piece)| crypto(*offset, piece)).collect();
            line.client(&Sealed { number: u32::try_from(number).unwrap(), ..OF_CLIENT }.packet(&frames, 1162));
        }
        prop_assert_eq!(line.rows().len(), 1);
        prop_assert_eq!(line.learned.len(), 1);
    }

    #[test]
    fn anything_may_be_sent(
        version in prop::sample::select(vec![0_u32, 1, 0x6b33_43cf, 0xff00_001d]),
        first in 0x80_u8..,
        octets in prop::collection::vec(any::<u8>(), 0..1300),
        frames in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut line = Line::default();
        line.client(&[&[first][..], &version.to_be_bytes(), &octets].concat());
        line.client(&OF_CLIENT.packet(&frames, 1162));
        line.client(&Sealed { number: 1, ..OF_CLIENT }.packet(&frames, 1162));
        prop_assert!(line.rows().is_empty());
        prop_assert!(packet::initials(&octets).count() <= 8);
    }
}
