use iotq_proto::{Service, v1};
use proptest::prelude::*;

use super::*;
use crate::names::made::{self, Hello};

#[derive(Default)]
struct Line {
    handshakes: Handshakes,
    found: Found,
    learned: Vec<Learned>,
}

impl Line {
    fn send(&mut self, from_client: bool, datagram: &[u8]) {
        let seen = made::datagram(from_client, 0);
        self.learned.extend(self.handshakes.observe(&seen, datagram, &mut self.found));
    }

    fn rows(&mut self) -> Vec<v1::TlsHello> {
        made::hellos(&mut self.found)
    }
}

fn hello(cookie: &[u8]) -> Vec<u8> {
    Hello {
        version: 0xfefd,
        cookie: Some(cookie.to_vec()),
        extensions: vec![(0, made::sni(b"Bulb.example.com")), (0x000a, vec![0, 0])],
        ..Hello::of_chrome("")
    }
    .body()
}

fn u24(number: usize) -> [u8; 3] {
    let [_, octets @ ..] = u32::try_from(number).unwrap().to_be_bytes();
    octets
}

fn fragment(message_type: u8, seq: u16, body: &[u8], offset: usize, octets: &[u8]) -> Vec<u8> {
    [&[message_type][..], &u24(body.len()), &seq.to_be_bytes(), &u24(offset), &u24(octets.len()), octets].concat()
}

fn record(epoch: u16, content: &[u8]) -> Vec<u8> {
    [&[22, 0xfe, 0xff][..], &epoch.to_be_bytes(), &[0; 6], &made::vec16(content)].concat()
}

fn whole(message_type: u8, seq: u16, body: &[u8]) -> Vec<u8> {
    record(0, &fragment(message_type, seq, body, 0, body))
}

#[test]
fn a_hello_and_the_one_with_the_cookie() {
    let mut line = Line::default();
    line.send(true, &whole(1, 0, &hello(&[])));
    line.send(true, &whole(1, 0, &hello(&[])));
    line.send(false, &whole(3, 0, &[0xfe, 0xff, 1, 9]));
    line.send(true, &whole(1, 1, &hello(&[9])));
    line.send(true, &whole(1, 0, &hello(&[])));
    let [first, second] = line.rows().try_into().unwrap();
    assert_eq!((first.sni.as_str(), first.version, first.transport()), ("bulb.example.com", 0xfefd, TlsTransport::Udp));
    assert_eq!(&first.ja4[..23], "dd2d150200_8daaf6152771");
    assert_eq!(first.ja4, second.ja4);
    assert_eq!((line.learned[0].service, line.learned[0].server_name.as_str()), (Service::Dtls, "bulb.example.com"));
    assert_eq!(line.learned.len(), 2);
}

#[test]
fn what_the_server_chose_is_learned() {
    let mut body = made::server_hello(0x0303, 0xc02b, None, [1; 32]).split_off(4);
    body[..2].copy_from_slice(&[0xfe, 0xfd]);
    let mut line = Line::default();
    line.send(false, &whole(2, 1, &body));
    let [learned] = line.learned.try_into().unwrap();
    assert_eq!((learned.service, learned.tls_version, learned.tls_cipher), (Service::Dtls, 0xfefd, 0xc02b));
}

#[test]
fn later_epochs_and_other_datagrams_say_nothing() {
    let body = hello(&[]);
    let mut line = Line::default();
    line.send(true, &record(1, &fragment(1, 0, &body, 0, &body)));
    line.send(true, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 1]);
    line.send(true, &whole(1, 0, &body[..body.len() - 1]));
    assert!(line.rows().is_empty() && line.learned.is_empty());
    assert_eq!(line.handshakes.senders.len(), 0);
}

proptest! {
    #[test]
    fn a_hello_cut_in_any_way_is_found_once(
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 12),
        per_record in 1_usize..4,
    ) {
        let body = hello(&[]);
        let pieces = made::pieces(&body, &cuts);
        let shuffled: Vec<_> = order.iter().map(|index| *index.get(&pieces)).chain(pieces.iter().copied()).collect();
        let mut line = Line::default();
        for chunk in shuffled.chunks(per_record) {
            let content: Vec<u8> = chunk.iter().flat_map(|(offset, piece)| fragment(1, 0, &body, *offset, piece)).collect();
            line.send(true, &record(0, &content));
        }
        prop_assert_eq!(line.rows().len(), 1);
    }

    #[test]
    fn anything_may_be_sent(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..5)) {
        let mut line = Line::default();
        for content in contents {
            line.send(true, &content);
            line.send(true, &record(0, &content));
            line.send(true, &record(0, &[&[1, 0, 0, 60, 0, 0], &content[..]].concat()));
        }
        prop_assert!(line.rows().is_empty());
    }
}
