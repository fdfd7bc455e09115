//! Hostile files: no panic, no endless loop, nothing lost between the lines.

use proptest::prelude::*;

use super::*;

/// Frames that all chunks of a file account for.
fn frames(chunks: &[Chunk]) -> u64 {
    chunks
        .iter()
        .map(|chunk| {
            let counts = &chunk.counts;
            chunk.packets.len() as u64
                + counts.no_ip.values().map(|count| count.frames).sum::<u64>()
                + counts.undecoded.values().sum::<u64>()
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_files_are_read_to_their_end(
        file in proptest::sample::select(vec![pcap(5), pcapng(5), gzip(&pcap(5)), zstd(&pcapng(5))]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = file;
        for (at, octet) in changes {
            let length = bytes.len();
            bytes[at.index(length)] = octet;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(mut reader) = open(&bytes) {
            // Every frame takes more octets than twelve, packed ones fewer.
            for _ in 0..10_000 {
                match reader.read_chunk(2) {
                    Ok(None) | Err(_) => return Ok(()),
                    Ok(Some(chunk)) => prop_assert!((1..=2).contains(&frames(&[chunk]))),
                }
            }
            prop_assert!(false, "without end");
        }
    }

    #[test]
    fn arbitrary_octets_after_a_header_are_read_to_their_end(
        header in proptest::sample::select(vec![pcap(0), pcapng(0), pcap_header(Order::Big, 0xa1b2_3c4d, 1)]),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (chunks, _) = read(&[header, rest].concat());
        prop_assert!(frames(&chunks) <= 20);
    }

    #[test]
    fn every_frame_is_accounted_for(
        link_type in 0..300u32,
        captured in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20),
    ) {
        let mut file = pcap_header(Order::Little, 0xa1b2_c3d4, link_type);
        for bytes in &captured {
            file.extend(pcap_packet(Order::Little, 1, 0, 100, bytes));
        }
        let (chunks, damaged) = read(&file);
        prop_assert!(damaged.is_none());
        prop_assert_eq!(frames(&chunks), captured.len() as u64);
    }
}
