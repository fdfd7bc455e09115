use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A few ports and sequence numbers, so that everything meets everything.
fn any_packet() -> impl Strategy<Value = Packet> {
    let seconds = prop_oneof![
        20 => (0_i64..400).prop_map(|tenth| tenth * NANOS_PER_SEC / 10),
        2 => (0_i64..40_000).prop_map(|second| second * NANOS_PER_SEC),
        1 => Timestamp::MIN.as_nanos()..=Timestamp::MAX.as_nanos(),
        1 => Just(Timestamp::MAX.as_nanos()),
        1 => Just(Timestamp::MIN.as_nanos()),
    ];
    let numbers = (0_u32..40, 0_u32..40, 0_u32..12, 0_u16..0x20);
    (seconds, numbers, any::<(bool, bool)>(), 0_u16..4, prop_oneof![6 => Just(6), 2 => Just(17), 1 => Just(1)])
        .prop_map(|(nanos, (seq, ack, payload_bytes, flags), (is_reply, is_cut), port, protocol)| {
            let mut packet = packet(if is_reply { "0 < A" } else { "0 > A" });
            packet.captured_at = Timestamp::from_nanos(nanos).unwrap();
            packet.key.protocol = protocol;
            packet.key.has_ports = protocol != 1;
            packet.key.a_port = port * u16::from(protocol != 1);
            (packet.payload_bytes, packet.tcp_seq, packet.tcp_ack) = (payload_bytes, seq.wrapping_sub(20), ack);
            packet.tcp_flags = if protocol == 6 && !(is_cut && port == 0) { flags } else { Packet::NO_TCP_FLAGS };
            packet
        })
}

fn sum(updates: &[v1::ConnectionUpdate], count: impl Fn(&v1::ConnectionUpdate) -> u64) -> u64 {
    updates.iter().map(count).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_goes_in_comes_out(
        packets in prop::collection::vec(any_packet(), 0..400),
        limit in 1_usize..12,
        seals in prop::collection::vec(any::<bool>(), 400),
    ) {
        let mut flows = Flows::with_limit(limit);
        let (mut told, mut place) = (Vec::new(), Place::UNKNOWN);
        for (packet, seal) in packets.iter().zip(seals) {
            flows.observe(packet, &mut place);
            flows.observe_icmp(packet, &[3; 40]);
            prop_assert!(flows.len() <= limit);
            if seal {
                flows.tick(packet.captured_at);
                told.append(&mut updates(&mut flows));
            }
        }
        flows.finish();
        told.append(&mut updates(&mut flows));
        prop_assert_eq!(sum(&told, |one| one.orig_packets + one.resp_packets), packets.len() as u64);
        let wire_bytes: u64 = packets.iter().map(|packet| u64::from(packet.wire_bytes)).sum();
        prop_assert_eq!(sum(&told, |one| one.orig_wire_bytes + one.resp_wire_bytes), wire_bytes);
        let payload_bytes: u64 = packets.iter().map(|packet| u64::from(packet.payload_bytes)).sum();
        prop_assert_eq!(sum(&told, |one| one.orig_payload_bytes + one.resp_payload_bytes), payload_bytes);
        let with_payload = packets.iter().filter(|packet| packet.payload_bytes > 0).count() as u64;
        prop_assert_eq!(sum(&told, |one| one.payload_packets), with_payload);
        // Each connection's updates are numbered, and the last one says how it ended.
        let mut last: BTreeMap<u64, (u32, bool)> = BTreeMap::new();
        for update in &told {
            let (number, has_ended) = last.get(&update.number).copied().unwrap_or_default();
            prop_assert!(!has_ended && update.update == number + 1);
            prop_assert!(update.history.len() <= 64);
            last.insert(update.number, (update.update, update.end != 0));
        }
        prop_assert!(last.values().all(|(_, has_ended)| *has_ended));
    }

    #[test]
    fn a_place_changes_nothing(packets in prop::collection::vec(any_packet(), 0..200)) {
        let run = |keep: bool| {
            let (mut flows, mut kept) = (Flows::new(), Place::UNKNOWN);
            for packet in &packets {
                flows.observe(packet, if keep { &mut kept } else { kept = Place::UNKNOWN; &mut kept });
            }
            flows.finish();
            updates(&mut flows)
        };
        prop_assert_eq!(run(true), run(false));
    }

    #[test]
    fn quoted_octets_never_panic(message in prop::collection::vec(any::<u8>(), 0..100), protocol in any::<bool>()) {
        let mut icmp = packet("0 > - 10");
        icmp.key.protocol = if protocol { 1 } else { 58 };
        let _ = quoted::key_of(&icmp, &message);
    }
}
