use proptest::prelude::*;

use super::*;
use crate::names::{
    made::{self, Hello},
    tls,
};
use iotq_proto::{ServerNameSource, Service, v1};

/// A connection, and what was found on it.
#[derive(Default)]
struct Line {
    streams: Streams,
    dns: Transactions,
    found: Found,
    learned: Vec<Learned>,
    at_ns: i64,
    server_port: Option<u16>,
}

impl Line {
    fn send(&mut self, from_client: bool, flags: u16, seq: u32, payload: &[u8], on_wire: usize) {
        let packet = Packet {
            tcp_flags: flags,
            tcp_seq: seq,
            payload_bytes: u32::try_from(on_wire).unwrap(),
            ..made::packet(6, self.server_port.unwrap_or(443), from_client, self.at_ns)
        };
        let seen = Seen::from(&packet);
        let learned = self.streams.observe(&packet, &seen, payload, &mut self.dns, &mut self.found);
        self.learned.extend(learned);
        self.at_ns += 1000;
    }

    fn syn(&mut self, from_client: bool, seq: u32) {
        self.send(from_client, if from_client { SYN } else { SYN | 0x010 }, seq, &[], 0);
    }

    fn data(&mut self, from_client: bool, seq: u32, payload: &[u8]) {
        self.send(from_client, 0x018, seq, payload, payload.len());
    }

    fn rows(&mut self) -> Vec<v1::TlsHello> {
        made::hellos(&mut self.found)
    }

    fn names(&self) -> Vec<&str> {
        self.learned.iter().map(|learned| learned.server_name.as_str()).collect()
    }
}

fn hello() -> Vec<u8> {
    made::records(&Hello::of_chrome("device.example.com").message(), &[])
}

fn at(offset: usize) -> u32 {
    START.wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap())
}

#[test]
fn a_hello_in_one_segment() {
    let mut line = Line::default();
    line.syn(true, START);
    line.data(true, at(0), &hello());
    let [row] = line.rows().try_into().unwrap();
    assert_eq!((row.sni.as_str(), row.ja4.as_str()), ("device.example.com", "t13d1516h2_8daaf6152771_e5627efa2ab1"));
    assert_eq!(row.transport(), iotq_proto::TlsTransport::Tcp);
    let [learned] = line.learned.try_into().unwrap();
    assert_eq!((learned.service, learned.server_name_source), (Service::Tls, ServerNameSource::Sni));
    assert_eq!(line.streams.directions.memory(), 0);
}

#[test]
fn a_hello_of_a_connection_that_was_already_open() {
    let mut line = Line::default();
    let hello = hello();
    line.data(true, 77, &hello[..100]);
    line.data(true, 177, &hello[100..]);
    line.data(true, 77, &hello);
    assert_eq!(line.rows().len(), 1);
    assert_eq!(line.names(), ["device.example.com"]);
}

#[test]
fn a_hello_sent_again_is_no_new_row_but_another_connection_is() {
    let mut line = Line::default();
    line.syn(true, START);
    line.data(true, at(0), &hello());
    line.syn(true, START);
    line.data(true, at(0), &hello());
    assert_eq!(line.rows().len(), 1);
    // The same ports again.
    line.syn(true, 5_000_000);
    line.data(true, 5_000_001, &hello());
    assert_eq!(line.rows().len(), 1);
    // And without its SYN, whether its numbers lie ahead or behind.
    line.data(true, 900_000_000, &hello());
    line.data(true, 3_000_000_000, &hello());
    assert_eq!(line.rows().len(), 2);
}

#[test]
fn a_hello_after_a_retry_request_is_a_new_row() {
    for ccs in [&[][..], &[20, 3, 3, 0, 1, 1]] {
        for cut in [1, 3, 7, 12, 200] {
            let mut line = Line::default();
            let hello = hello();
            line.syn(true, START);
            line.data(true, at(0), &hello);
            let retry = made::server_hello(0x0304, 0x1301, None, tls::HELLO_RETRY_REQUEST);
            line.syn(false, 99);
            line.data(false, 100, &[&made::records(&retry, &[])[..], ccs].concat());
            let second = [ccs, &hello].concat();
            line.data(true, at(hello.len()), &second[..cut]);
            line.data(true, at(hello.len() + cut), &second[cut..]);
            line.data(true, at(hello.len()), &second);
            let chosen = made::records(&made::server_hello(0x0304, 0x1302, None, [1; 32]), &[]);
            line.data(false, 100 + u32::try_from(retry.len() + 5 + ccs.len()).unwrap(), &chosen);
            assert_eq!(line.rows().len(), 2, "{cut}");
            assert_eq!(line.learned.last().map(|learned| learned.tls_cipher), Some(0x1302));
        }
    }
}

#[test]
fn what_a_server_chose_is_learned_although_its_record_goes_on() {
    let mut line = Line::default();
    line.syn(false, START);
    let hello = made::server_hello(0x0303, 0xc02f, Some(b"http/1.1"), [1; 32]);
    let flight = made::records(&[&hello[..], &made::message(11, &[0; 3000])].concat(), &[]);
    line.data(false, at(0), &flight[..1400]);
    line.data(false, at(1400), &flight[1400..]);
    let [learned] = line.learned.try_into().unwrap();
    assert_eq!((learned.tls_version, learned.tls_cipher, learned.alpn.as_str()), (0x0303, 0xc02f, "http/1.1"));
    assert_eq!(line.streams.directions.memory(), 0);
}

#[test]
fn a_hello_after_starttls() {
    let mut line = Line::default();
    line.syn(true, START);
    line.data(true, at(0), b"\x20\0\0\x01\x05\xae\0\0");
    line.data(true, at(8), &hello());
    assert_eq!(line.rows().len(), 1);
}

#[test]
fn an_sslv2_hello() {
    let mut octets = vec![0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10];
    octets.extend([0; 0x15 + 0x10]);
    for cut in 1..octets.len() {
        let mut line = Line::default();
        line.syn(true, START);
        line.data(true, at(0), &octets[..cut]);
        line.data(true, at(cut), &octets[cut..]);
        let [row] = line.rows().try_into().unwrap();
        assert_eq!((row.version, row.ja4.as_str()), (0x0301, ""), "{cut}");
        assert_eq!(line.learned.len(), 1);
    }
    octets[1] += 1;
    let mut line = Line::default();
    line.syn(true, START);
    line.data(true, at(0), &octets);
    assert!(line.rows().is_empty() && line.learned.is_empty());
}

#[test]
fn a_hello_that_the_capture_cut_tells_its_name_only() {
    let mut line = Line::default();
    let hello = hello();
    line.syn(true, START);
    line.send(true, 0x018, at(0), &hello[..150], hello.len());
    assert_eq!(line.names(), ["device.example.com"]);
    assert!(line.rows().is_empty());
    assert_eq!(line.streams.directions.memory(), 0);
}

#[test]
fn what_is_no_hello_is_not_kept() {
    let mut line = Line::default();
    line.syn(true, START);
    for (number, payload) in
        [&b"\x05\x01\x00"[..], &[0xff; 1400], &[22, 3, 1, 0, 5, 11], &[0x80, 3, 9]].iter().enumerate()
    {
        line.data(true, at(number * 1400), payload);
    }
    assert_eq!((line.streams.directions.len(), line.rows().len(), line.learned.len()), (0, 0, 0));
}

#[test]
fn requests_of_other_protocols_are_learned() {
    let request = b"GET / HTTP/1.1\r\nHost: Hub.example.com\r\n\r\n";
    let connect = b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04plug";
    for (octets, service, name) in [(&request[..], Service::Http, "hub.example.com"), (&connect[..], Service::Mqtt, "")]
    {
        for cut in 1..octets.len() {
            let mut line = Line::default();
            line.syn(true, START);
            line.data(true, at(cut), &octets[cut..]);
            line.data(true, at(0), &octets[..cut]);
            line.data(true, at(0), octets);
            let [learned] = line.learned.try_into().unwrap();
            assert_eq!((learned.service, learned.server_name.as_str()), (service, name), "{cut}");
            assert_eq!(learned.client_id_hash.is_empty(), service == Service::Http);
        }
    }
}

/// A question for `device.example.com` or, with an answer count, the answer to it.
fn dns_message(id: u16, flags: u16) -> Vec<u8> {
    let header = made::words(&[id, flags, 1, 0, 0, 0]);
    made::vec16(&[&header[..], b"\x06device\x07example\x03com\0", &[0, 1, 0, 1]].concat())
}

#[test]
fn dns_messages_follow_each_other_on_a_connection() {
    let stream: Vec<u8> = (0..5).flat_map(|id| dns_message(id, 0x0100)).collect();
    let replies: Vec<u8> = (0..5).flat_map(|id| dns_message(id, 0x8180)).collect();
    for size in [1, 7, 40, 41, 200] {
        let mut line = Line { server_port: Some(53), ..Line::default() };
        line.syn(true, START);
        line.syn(false, START);
        for (from_client, octets) in [(true, &stream), (false, &replies)] {
            // Each two segments change places, and one comes again.
            let mut segments: Vec<_> = octets.chunks(size).enumerate().collect();
            segments.chunks_mut(2).for_each(<[_]>::reverse);
            for (number, segment) in segments {
                line.data(from_client, at(number * size), segment);
                line.data(from_client, at(number * size), segment);
            }
        }
        line.dns.finish(&mut line.found);
        let mut batch = v1::Batch::default();
        line.found.move_into(&mut batch);
        assert_eq!(batch.dns.len(), 5, "{size}");
        assert!(batch.dns.iter().all(|dns| dns.qname == "device.example.com" && dns.rcode == Some(0)), "{size}");
        assert!(line.learned.iter().all(|learned| learned.service == Service::Dns));
    }
}

#[test]
fn dns_goes_on_after_a_message_too_long_and_is_joined_amid_a_connection() {
    let mut line = Line { server_port: Some(53), ..Line::default() };
    let zone = made::vec16(&[0; 60_000]);
    line.syn(false, START);
    let (mut offset, question) = (0, dns_message(1, 0x0100));
    for segment in zone.chunks(1400) {
        line.data(false, at(offset), segment);
        offset += segment.len();
    }
    line.data(false, at(offset), &question);
    // The client's side, whose begin was not seen.
    line.data(true, 1, &dns_message(2, 0x0100));
    line.dns.finish(&mut line.found);
    let mut batch = v1::Batch::default();
    line.found.move_into(&mut batch);
    assert_eq!(batch.dns.len(), 2);
    assert_eq!(line.streams.directions.memory(), 0);
}

#[test]
fn idle_directions_are_forgotten() {
    let mut line = Line::default();
    line.syn(true, START);
    line.data(true, at(0), &hello()[..100]);
    assert_eq!(line.streams.directions.len(), 1);
    line.streams.expire(Timestamp::from_nanos(100 * SECOND).unwrap());
    assert_eq!(line.streams.directions.len(), 0);
}

#[test]
fn a_flood_stays_within_bounds() {
    let mut line = Line::default();
    let begin = &hello()[..200];
    for number in 0..100_000_u32 {
        let mut packet =
            Packet { tcp_flags: 0x018, tcp_seq: number, payload_bytes: 200, ..made::packet(6, 443, true, line.at_ns) };
        packet.key.a_ip[..4].copy_from_slice(&number.to_be_bytes());
        let seen = Seen::from(&packet);
        line.streams.observe(&packet, &seen, begin, &mut line.dns, &mut line.found);
        // Pieces far apart make large buffers of little.
        packet.tcp_seq += 15_000;
        line.streams.observe(&packet, &seen, begin, &mut line.dns, &mut line.found);
    }
    assert!(line.streams.directions.len() <= LIMITS.entries);
    assert!(line.streams.directions.memory() <= LIMITS.memory + MAX_WAITING * 2);
    assert!(line.rows().is_empty());
}

proptest! {
    /// Any cutting into records and segments, any order, with repetitions and
    /// overlaps: one hello.
    #[test]
    fn a_hello_cut_in_any_way_is_found_once(
        record_cuts in prop::collection::vec(any::<usize>(), 0..8),
        segment_cuts in prop::collection::vec(any::<usize>(), 0..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        overlap in prop::collection::vec(0_usize..50, 40),
    ) {
        let stream = [&made::records(&Hello::of_chrome("device.example.com").message(), &record_cuts)[..], &[23, 3, 3, 0, 1, 0]].concat();
        let pieces = made::pieces(&stream, &segment_cuts);
        let mut line = Line::default();
        line.syn(true, START);
        // At random with repetitions, then all, so that each is there.
        let shuffled = order.iter().map(|index| *index.get(&pieces));
        for ((offset, piece), overlap) in shuffled.chain(pieces.iter().copied()).zip(overlap.iter().cycle()) {
            let begin = offset.saturating_sub(*overlap);
            line.data(true, at(begin), &stream[begin..offset + piece.len()]);
        }
        prop_assert_eq!(line.names(), ["device.example.com"]);
        let rows = line.rows();
        prop_assert_eq!(rows.len(), 1);
        prop_assert_eq!(&rows[0].ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn anything_may_be_sent(
        segments in prop::collection::vec(
            (any::<bool>(), any::<u16>(), 0_u32..40_000, prop::collection::vec(any::<u8>(), 0..60), 0_usize..3),
            0..30,
        ),
        port in prop::sample::select(vec![53, 80, 443]),
    ) {
        let mut line = Line { server_port: Some(port), ..Line::default() };
        for (from_client, flags, seq, octets, kind) in segments {
            let payload = match kind {
                0 => octets,
                1 => [&hello()[..100], &octets].concat(),
                _ => [&[0, 30], &octets[..]].concat(),
            };
            line.send(from_client, flags & 0x1ff, seq, &payload, payload.len() + usize::from(flags & 0x400 != 0));
        }
        prop_assert!(line.rows().is_empty());
    }
}

const SECOND: i64 = 1_000_000_000;
/// Numbers wrap round within the hello.
const START: u32 = u32::MAX - 20;
