use proptest::prelude::*;

use super::*;

const OWN: u8 = 9;
const A: u8 = 1;
const B: u8 = 2;

/// A frame of an IPv4 packet from one to another; numbers are last octets of MAC and address.
#[derive(Clone, Copy)]
struct Made {
    from: u8,
    to: u8,
    vlan: Option<u16>,
    protocol: u8,
    flags: u8,
    id: u16,
    ttl: u8,
    payload: &'static [u8],
}

const TCP: Made = Made { from: A, to: B, vlan: None, protocol: 6, flags: 0x10, id: 1, ttl: 64, payload: b"some" };

impl Made {
    fn back(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }

    fn octets(self) -> Vec<u8> {
        let mut frame = vec![0, 0, 0x5e, 0, 0x53, self.to, 0, 0, 0x5e, 0, 0x53, self.from];
        if self.to == 0xff {
            frame[..6].fill(0xff);
        }
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0]);
            frame.extend(vlan.to_be_bytes());
        }
        let mut transport = match self.protocol {
            6 => {
                let port = |end| if end == A { [0x9c, 0x40] } else { [1, 0xbb] };
                let mut tcp = [port(self.from), port(self.to)].concat();
                tcp.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.flags, 1, 0, 0, 0, 0, 0]);
                tcp
            }
            _ => vec![0x9c, 0x40, 0, 53, 0, 8 + u8::try_from(self.payload.len()).unwrap(), 0, 0],
        };
        transport.extend(self.payload);
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + u16::try_from(transport.len()).unwrap()).to_be_bytes());
        frame.extend(self.id.to_be_bytes());
        frame.extend([0, 0, self.ttl, self.protocol, 0, 0, 192, 0, 2, self.from, 192, 0, 2, self.to]);
        frame.extend(transport);
        frame
    }
}

/// Frames a tenth of a second apart.
fn tallied(frames: &[Made]) -> Tallied {
    let timed: Vec<_> = frames.iter().zip(1..).map(|(frame, index)| (index * 100_000_000, *frame)).collect();
    timed_tallied(&timed)
}

fn timed_tallied(frames: &[(u64, Made)]) -> Tallied {
    let mut tally = Tally::new(LinkType::ETHERNET, Some(MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, OWN])), Some(1500));
    for (captured_at_ns, frame) in frames {
        let octets = frame.octets();
        let wire_bytes = u32::try_from(octets.len()).unwrap();
        tally.observe(RawFrame { captured_at_ns: *captured_at_ns, wire_bytes, octets: &octets });
    }
    tally.end()
}

#[test]
fn frames_are_ones_own_everybodys_or_others() {
    let found =
        tallied(&[TCP, TCP.back(), Made { to: 0xff, ..TCP }, Made { to: OWN, ..TCP }, Made { from: OWN, ..TCP }]);
    assert_eq!((found.frames, found.foreign, found.group, found.own), (5, 2, 1, 2));
    assert_eq!((found.foreign_senders, found.untagged), (2, 5));
    // Neither broadcasts nor one's own are conversations of others.
    assert_eq!(found.conversations, Conversations { both: 1, ..Conversations::default() });
}

#[test]
fn one_direction_that_acknowledges_was_answered() {
    let syn = Made { flags: 0x02, payload: b"", ..TCP };
    let again = Made { id: 2, ..TCP };
    let udp = Made { protocol: 17, ..TCP };
    for (frames, one_way_answered) in
        [(&[syn, syn][..], 0), (&[TCP][..], 0), (&[TCP, again][..], 1), (&[udp, udp, udp][..], 0)]
    {
        let expected = Conversations { one_way: 1, one_way_answered, ..Conversations::default() };
        assert_eq!(tallied(frames).conversations, expected);
    }
    let refused = Made { flags: 0x14, ..TCP };
    assert_eq!(tallied(&[refused, refused]).conversations.one_way_answered, 0);
}

#[test]
fn tags_are_counted_and_half_of_them_noticed() {
    let tagged = Made { vlan: Some(10), ..TCP };
    let found = tallied(&[tagged, tagged.back(), TCP]);
    assert_eq!((found.tagged, found.untagged), (BTreeMap::from([(10, 2)]), 1));
    assert_eq!(tallied(&[tagged, tagged.back()]).conversations.half_tagged, 0);
    assert_eq!(tallied(&[tagged, TCP.back()]).conversations.half_tagged, 1);
}

#[test]
fn what_comes_again_at_once_is_doubled() {
    let at = |micros: u64, frame| (1_000_000_000 + micros * 1000, frame);
    let found = timed_tallied(&[at(0, TCP), at(3, TCP), at(5, TCP)]);
    assert_eq!((found.doubled, found.copied, found.conversations.one_way), (2, 0, 1));
    // A second time after a while, or another packet that says the same.
    let found = timed_tallied(&[at(0, TCP), at(10_001, TCP)]);
    assert_eq!((found.doubled, found.copied), (0, 0));
    // Before and after a router; with and without a tag.
    let routed = Made { ttl: 63, ..TCP };
    let found = timed_tallied(&[at(0, TCP), at(50, routed)]);
    assert_eq!((found.doubled, found.copied), (0, 1));
    let found = timed_tallied(&[at(0, TCP), at(50, Made { vlan: Some(7), ..TCP })]);
    assert_eq!((found.doubled, found.copied), (0, 1));
    // Acknowledgements say nothing new, and are repeated on purpose.
    let found = timed_tallied(&[at(0, Made { payload: b"", ..TCP }), at(50, Made { payload: b"", id: 2, ..TCP })]);
    assert_eq!((found.doubled, found.copied), (0, 0));
}

#[test]
fn frames_longer_than_the_wire_takes_are_noticed_unless_they_are_sent_here() {
    let mut tally = Tally::new(LinkType::ETHERNET, Some(MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, OWN])), Some(1500));
    for (frame, wire_bytes) in [(TCP, 1514), (TCP, 1522), (TCP, 1523), (Made { from: OWN, ..TCP }, 9000)] {
        tally.observe(RawFrame { captured_at_ns: u64::from(wire_bytes) << 32, wire_bytes, octets: &frame.octets() });
    }
    let found = tally.end();
    assert_eq!((found.above_mtu, found.longest_bytes), (1, 9000));
}

#[test]
fn what_is_remembered_has_a_limit() {
    let mut lately = Lately::default();
    for hash in 0..3 * MAX_LATELY as u64 {
        assert!(!lately.is_again(hash, 5));
    }
    assert!(lately.order.len() <= MAX_LATELY && lately.seen.len() <= MAX_LATELY);
    assert!(lately.is_again(3 * MAX_LATELY as u64 - 1, 5));
}

proptest! {
    #[test]
    fn no_frame_is_too_strange(
        frames in proptest::collection::vec((any::<u64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..50),
        link_type in prop_oneof![Just(1_u16), Just(113), any::<u16>()],
    ) {
        let mut tally = Tally::new(LinkType(link_type), None, Some(1500));
        for (captured_at_ns, wire_bytes, octets) in &frames {
            tally.observe(RawFrame { captured_at_ns: *captured_at_ns, wire_bytes: *wire_bytes, octets });
        }
        let found = tally.end();
        prop_assert_eq!(found.frames, frames.len() as u64);
        prop_assert!(found.own + found.group + found.foreign <= found.frames);
    }
}
