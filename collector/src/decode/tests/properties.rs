//! Whatever comes in, each frame is one thing, and nothing panics.

use proptest::prelude::*;

use super::*;

/// Every link type with a reader of its own, and some without.
fn link_types() -> impl Strategy<Value = LinkType> {
    let known = [
        0, 1, 6, 9, 10, 11, 12, 14, 50, 51, 100, 101, 104, 105, 107, 108, 109, 113, 117, 119, 127, 147, 163, 192, 204,
        228, 229, 239, 276, 65535,
    ];
    prop_oneof![proptest::sample::select(known.to_vec()).prop_map(LinkType), any::<u16>().prop_map(LinkType)]
}

/// Frames that lead deep into the readers, to be damaged.
fn frames() -> Vec<(LinkType, Vec<u8>)> {
    let udp = &udp6()[40..];
    vec![
        (LinkType::ETHERNET, ethernet(0x0800, &tcp4())),
        (LinkType::ETHERNET, ethernet(0x88a8, &join(&[&hex("0064 8100 0007 86dd"), &udp6()]))),
        (LinkType::ETHERNET, ethernet(0x8864, &join(&[&hex("1100 0001 002f 0021"), &tcp4()]))),
        (LinkType::ETHERNET, ethernet(0x8847, &join(&[&hex("00064140 00000000"), &ethernet(0x0800, &tcp4())]))),
        (LinkType::ETHERNET, ethernet(0x86dd, &ipv6(0, &join(&[&hex("2c00010400000000 1100000000000001"), udp])))),
        (LinkType::ETHERNET, ethernet(0x0806, &hex("0001080006040001 00005e00530a c0000201 000000000000 c0000202"))),
        (LinkType::ETHERNET, {
            let options = "0101 00005e00530a 0304 40c0 00015180 00003840 00000000 20010db8000000000000000000000000";
            let mut packet = ipv6(58, &hex(&format!("8600 0000 40000708 00000000 00000000 {options}")));
            packet[7] = 255;
            ethernet(0x86dd, &packet)
        }),
        (LinkType::ETHERNET, ethernet(60, &join(&[&hex("aaaa03 000000 0800"), &tcp4()]))),
        (LinkType::IEEE802_11_RADIOTAP, {
            let header = hex("0000 1900 03000080 00000000 00000000 0000000000000000 20 8881 0000");
            let addresses = hex("00005e005302 00005e005301 00005e005303 0000 8000 00000000");
            join(&[&header, &addresses, &hex("00005e00530a 00005e00530b 0035 aaaa03 000000 0800"), &tcp4()])
        }),
        (LinkType::NFLOG, join(&[&hex("0200 0000 0800 0a00 65746830 3100 0900"), &tcp4()])),
        (LinkType::LINUX_SLL2, join(&[&hex("86dd 0000 00000003 0001 00 06 00005e0053010000"), &udp6()])),
    ]
}

/// What must hold for any frame.
fn check(link_type: LinkType, bytes: &[u8], wire_bytes: u32) {
    let mut sightings = Vec::new();
    let frame = Frame { captured_at: Timestamp::default(), wire_bytes, bytes };
    match decode(link_type, frame, &mut sightings) {
        Decoded::Packet(packet, payload) => {
            assert!(payload.len() <= packet.payload_bytes as usize);
            let key = &packet.key;
            assert_eq!(packet.wire_bytes, wire_bytes);
            assert!(matches!(key.ip_version, 4 | 6));
            assert!(packet.payload_bytes <= wire_bytes.max(65_535));
            assert!(key.has_ports || (key.a_port, key.b_port) == (0, 0));
            assert!(packet.tcp_flags <= 0x0fff || packet.tcp_flags == Packet::NO_TCP_FLAGS);
            assert!(packet.tcp_flags == Packet::NO_TCP_FLAGS || (key.protocol == 6 && key.has_ports));
            assert!((key.a_ip, key.a_port, key.a_mac) <= (key.b_ip, key.b_port, key.b_mac));
        }
        Decoded::NoIp { protocol, source } => {
            assert_eq!(LinkProtocol::from_u32(protocol.as_u32()), Some(protocol));
            assert_eq!(MacAddr::from_u64(source.as_u64()), Some(source));
        }
        Decoded::Undecoded(reason) => assert_ne!(reason, UndecodedReason::Unspecified),
    }
    for sighting in sightings {
        assert!(sighting.prefix_len <= 128);
        assert!(VlanId::from_u32(sighting.vlan.as_u16().into()).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn arbitrary_octets_are_something(
        link_type in link_types(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        wire_bytes in any::<u32>(),
    ) {
        check(link_type, &bytes, wire_bytes);
    }

    #[test]
    fn damaged_frames_are_something(
        (link_type, frame) in proptest::sample::select(frames()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        wire_bytes in prop_oneof![0..2000u32, any::<u32>()],
    ) {
        let mut bytes = frame;
        for (at, octet) in changes {
            let length = bytes.len();
            bytes[at.index(length)] = octet;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        check(link_type, &bytes, wire_bytes);
    }

    #[test]
    fn a_cut_frame_never_becomes_another_flow((link_type, frame) in proptest::sample::select(frames()), cut in any::<prop::sample::Index>()) {
        let wire_bytes = u32::try_from(frame.len()).unwrap();
        let cut = &frame[..cut.index(frame.len() + 1)];
        let (Decoded::Packet(whole, _), Decoded::Packet(cut, _)) =
            (decoded_cut(link_type, &frame, wire_bytes), decoded_cut(link_type, cut, wire_bytes))
        else {
            return Ok(());
        };
        prop_assert_eq!((whole.key.a_ip, whole.key.b_ip, whole.key.vlan), (cut.key.a_ip, cut.key.b_ip, cut.key.vlan));
        prop_assert!(!cut.key.has_ports || cut.key == whole.key);
        prop_assert!(cut.tcp_flags == Packet::NO_TCP_FLAGS || cut.tcp_flags == whole.tcp_flags);
    }
}
