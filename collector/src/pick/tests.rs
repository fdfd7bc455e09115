use iotq_proto::{MacAddr, Timestamp, VlanId};
use proptest::prelude::*;

use super::*;
use crate::packet::{Endpoint, Shared};

const ALL: Aims = Aims { names: true, connections: true };

fn packet(protocol: u8, ports: (u16, u16), is_reply: bool, flags: u16, seq: u32) -> Packet {
    let client = Endpoint { ip: [1; 16], port: ports.0, mac: MacAddr::NONE };
    let server = Endpoint { ip: [2; 16], port: ports.1, mac: MacAddr::NONE };
    let (src, dst) = if is_reply { (server, client) } else { (client, server) };
    let shared = Shared { vlan: VlanId::UNTAGGED, protocol, ip_version: 6, has_ports: true };
    let (key, from_a) = FlowKey::between(src, dst, shared);
    Packet {
        captured_at: Timestamp::default(),
        key,
        from_a,
        wire_bytes: 60,
        payload_bytes: 0,
        tcp_flags: flags,
        tcp_seq: seq,
        tcp_ack: 0,
    }
}

struct Stream {
    pick: Pick,
    is_reply: bool,
}

impl Stream {
    fn new(is_reply: bool) -> Self {
        Self { pick: Pick::new(ALL), is_reply }
    }

    fn syn(&mut self, seq: u32) {
        assert_eq!(self.pick.pick(&packet(6, (50_000, 443), self.is_reply, SYN, seq), &[]), Some(&[][..]));
    }

    fn takes(&mut self, seq: u32, payload: &[u8]) -> bool {
        self.pick.pick(&packet(6, (50_000, 443), self.is_reply, 0x18, seq), payload).is_some()
    }
}

/// A `ClientHello` of so many octets, as one record.
fn hello(bytes: u16) -> Vec<u8> {
    let mut hello = vec![22, 3, 1];
    hello.extend((bytes - 5).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((bytes - 9).to_be_bytes());
    hello.resize(bytes.into(), 0xaa);
    hello
}

#[test]
fn a_hello_is_taken_whole_and_nothing_behind_it() {
    for is_reply in [false, true] {
        let mut stream = Stream::new(is_reply);
        let hello = hello(2000);
        stream.syn(u32::MAX - 700);
        let begin = u32::MAX - 699;
        assert!(stream.takes(begin, &hello[..1400]));
        assert!(stream.takes(begin.wrapping_add(1400), &hello[1400..]));
        assert!(stream.takes(begin, &hello[..1400]), "sent again");
        assert!(!stream.takes(begin.wrapping_add(2000), &[23, 3, 3, 0, 100]));
        assert!(!stream.takes(begin.wrapping_sub(1), &[0]), "a keepalive");
    }
}

#[test]
fn segments_of_a_hello_may_come_in_any_order() {
    let mut stream = Stream::new(false);
    let hello = hello(3000);
    stream.syn(99);
    assert!(stream.takes(100 + 1400, &hello[1400..2800]));
    assert!(stream.takes(100 + 2800, &hello[2800..]));
    assert!(stream.takes(100, &hello[..1400]));
    assert!(!stream.takes(3100, &[23; 500]));
}

#[test]
fn a_hello_after_a_retry_request_is_taken_with_or_without_what_goes_before() {
    for before in [&[20, 3, 3, 0, 1, 1][..], &[]] {
        let mut stream = Stream::new(false);
        stream.syn(0);
        assert!(stream.takes(1, &hello(300)));
        let second = [before, &hello(1800)].concat();
        assert!(stream.takes(301, &second[..1400]));
        assert!(stream.takes(301 + 1400, &second[1400..]));
        assert!(!stream.takes(301 + 1806, &[23, 3, 3, 0, 100]));
    }
}

#[test]
fn a_stream_that_names_nothing_is_left_alone() {
    let mut stream = Stream::new(false);
    stream.syn(0);
    assert!(!stream.takes(1, b"\x00\x00\x00\x90\xd0\xf2\x81\xf8"));
    assert!(!stream.takes(9, &[1; 1400]));
}

#[test]
fn without_a_handshake_content_decides() {
    for content in [
        &hello(300)[..],
        b"GET / HTTP/1.1\r\n",
        b"M-SEARCH * HTTP/1.1\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n",
        b"\x10\x10\x00\x04MQTT\x04",
        b"\x10\x80\x01\x00\x06MQIsdp\x03",
        b"\x80\x2e\x01\x03\x01\x00\x15",
    ] {
        assert!(Stream::new(false).takes(77, content), "{content:02x?}");
    }
    for content in [&[22, 1, 2, 3][..], b"HTTP/1.1 200 OK", b"EHLO example.com", b"\x10\x10\x00\x04XXXX", &[0x80; 9]] {
        assert!(!Stream::new(false).takes(77, content), "{content:02x?}");
    }
}

#[test]
fn a_first_segment_too_short_to_tell_keeps_the_stream() {
    for content in [&hello(300)[..], b"GET / HTTP/1.1\r\n", b"\x10\x10\x00\x04MQTT\x04", b"\x80\x2e\x01\x03\x01"] {
        let mut stream = Stream::new(false);
        stream.syn(0);
        assert!(stream.takes(1, &content[..1]) && stream.takes(2, &content[1..]), "{content:02x?}");
    }
}

#[test]
fn a_hello_cut_into_small_records_is_taken_whole() {
    let mut stream = Stream::new(false);
    stream.syn(0);
    let message = &hello(609)[5..];
    let mut octets = Vec::new();
    for part in message.chunks(50) {
        octets.extend([22, 3, 1, 0, u8::try_from(part.len()).unwrap()]);
        octets.extend(part);
    }
    for (index, part) in octets.chunks(100).enumerate() {
        assert!(stream.takes(1 + 100 * u32::try_from(index).unwrap(), part), "{index}");
    }
}

#[test]
fn datagrams_are_taken_by_port_or_by_what_they_begin_with() {
    let takes = |ports, payload: &[u8]| {
        Pick::new(ALL).pick(&packet(17, ports, false, 0xffff, 0), payload).map_or(0, <[u8]>::len)
    };
    assert_eq!(takes((5353, 5353), &[0; 400]), 400);
    assert_eq!(takes((50_000, 53), &[0; 40]), 40);
    assert_eq!(takes((50_000, 8443), b"\xc3\x00\x00\x00\x01\x08"), 6);
    assert_eq!(takes((50_000, 8443), b"\xd3\x6b\x33\x43\xcf\x08"), 6);
    assert_eq!(takes((50_000, 443), b"\x16\xfe\xfd\x00"), 0);
    assert_eq!(takes((50_000, 443), b"\x16\xfe\xfd\x00\x00"), 5);
    // A Handshake packet, a short header, something else.
    for other in [&b"\xe3\x00\x00\x00\x01\x08"[..], b"\x43\x00\x00\x00\x01", b"\x00\x01\x02\x03\x04\x05"] {
        assert_eq!(takes((50_000, 443), other), 0);
    }
}

#[test]
fn icmp_is_taken_for_connections_and_only_its_errors() {
    let takes = |aims, protocol, kind| {
        let packet = packet(protocol, (0, 0), false, 0xffff, 0);
        Pick::new(aims).pick(&packet, &[kind, 0, 0, 0]).map_or(0, <[u8]>::len)
    };
    assert_eq!((takes(ALL, 1, 3), takes(ALL, 1, 11), takes(ALL, 58, 1)), (4, 4, 4));
    assert_eq!((takes(ALL, 1, 8), takes(ALL, 58, 135)), (0, 0));
    assert_eq!(takes(Aims { names: true, connections: false }, 1, 3), 0);
}

#[test]
fn without_names_nothing_that_names_is_taken() {
    let mut pick = Pick::new(Aims { names: false, connections: true });
    assert_eq!(pick.pick(&packet(17, (50_000, 53), false, 0xffff, 0), &[0; 40]), None);
    assert_eq!(pick.pick(&packet(6, (50_000, 443), false, 0x18, 0), &hello(300)), None);
}

proptest! {
    #[test]
    fn any_payload_is_taken_from_its_begin_or_not_at_all(
        segments in prop::collection::vec(
            (any::<(u32, bool)>(), 0_u16..0x40, prop::collection::vec(any::<u8>(), 0..40)), 0..60,
        ),
    ) {
        let mut pick = Pick::new(ALL);
        for ((seq, is_reply), flags, payload) in segments {
            let picked = pick.pick(&packet(6, (50_000, 443), is_reply, flags, seq % 64), &payload);
            prop_assert!(picked.is_none_or(|picked| picked == payload));
        }
    }

    #[test]
    fn a_hello_cut_anywhere_is_taken_whole(cuts in prop::collection::btree_set(1_usize..1999, 0..6)) {
        let hello = hello(2000);
        let mut stream = Stream::new(false);
        stream.syn(u32::MAX);
        let mut begin = 0;
        for end in cuts.into_iter().chain([hello.len()]) {
            prop_assert!(stream.takes(u32::try_from(begin).unwrap(), &hello[begin..end]));
            begin = end;
        }
    }
}
