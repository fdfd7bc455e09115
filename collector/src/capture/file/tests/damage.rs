//! Damaged files: what was before is handed over, then it is said what is wrong where.

use iotq_proto::error::Chain;

use super::*;

/// How many frames came, and what was said then.
fn read_damaged(file: &[u8]) -> (usize, String) {
    let (chunks, damaged) = read(file);
    let damaged = damaged.expect("the file is damaged");
    (chunks.iter().map(|chunk| chunk.packets.len()).sum(), Chain(&damaged).to_string())
}

/// Octets of each packet in [`pcap`].
const RECORD: usize = 16 + 28;
/// Octets of each packet in [`pcapng`], and of what comes before.
const BLOCK: usize = 32 + 28;
const PREAMBLE: usize = 28 + 20;

#[test]
fn files_cut_anywhere_keep_what_was_before() {
    let file = pcap(4);
    for length in 4..file.len() {
        let complete = length.saturating_sub(24) / RECORD;
        let begin = if length < 24 { 0 } else { 24 + complete * RECORD };
        if length >= 24 && begin == length {
            assert_eq!(packets(&file[..length]).len(), complete);
            continue;
        }
        let (frames, message) = read_damaged(&file[..length]);
        assert_eq!(frames, complete, "cut at {length}");
        let place = format!("`test.pcap` is damaged at byte {begin}: the file ends inside ");
        assert!(message.starts_with(&place), "cut at {length}: {message}");
    }

    let file = pcapng(4);
    for length in 4..file.len() {
        let complete = length.saturating_sub(PREAMBLE) / BLOCK;
        if [28, PREAMBLE + complete * BLOCK].contains(&length) {
            assert_eq!(packets(&file[..length]).len(), complete);
            continue;
        }
        let (frames, message) = read_damaged(&file[..length]);
        assert_eq!(frames, complete, "cut at {length}");
        assert!(message.contains(": the file ends inside a block"), "cut at {length}: {message}");
    }
}

#[test]
fn messages_say_what_is_missing() {
    assert_eq!(
        read_damaged(&pcap(2)[..24 + RECORD + 20]).1,
        "`test.pcap` is damaged at byte 68: the file ends inside a packet of 28 octets, after 4"
    );
    assert_eq!(
        read_damaged(&pcap(2)[..24 + RECORD + 3]).1,
        "`test.pcap` is damaged at byte 68: the file ends inside a packet header, which has 16 octets, after 3"
    );
    assert_eq!(
        read_damaged(&gzip(&pcap(2)[..24 + RECORD + 20])).1,
        "`test.pcap` is damaged at byte 68 of what is packed in it: the file ends inside a packet of 28 octets, after 4"
    );
}

#[test]
fn packed_files_cut_anywhere_keep_what_could_be_unpacked() {
    // Frames that do not pack well, so that there is something to cut.
    let mut plain = pcap_header(Order::Little, 0xa1b2_c3d4, RAW_IP);
    let mut state = 1u32;
    for secs in 0..2000 {
        let mut frame = FRAME.to_vec();
        for _ in 0..40 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            frame.extend((state >> 8).to_be_bytes());
        }
        plain.extend(pcap_packet(Order::Little, secs, 0, 188, &frame));
    }
    for packed in [gzip(&plain), zstd(&plain)] {
        let (frames, message) = read_damaged(&packed[..packed.len() - 9]);
        assert!(frames > 1000, "{frames} {message}");
        assert!(message.contains(" of what is packed in it: reading on failed: "), "{message}");
        let (half, _) = read_damaged(&packed[..packed.len() / 2]);
        assert!((500..1100).contains(&half), "{half}");
        // Cut before anything could be read.
        assert!(matches!(open(&packed[..12]), Err(OpenFileError::Read { .. })));
    }
    let mut garbage = gzip(&plain);
    garbage.extend(b"more");
    let (frames, message) = read_damaged(&garbage);
    assert_eq!(frames, 2000);
    assert!(message.ends_with("reading on failed: more follows, but is no gzip"), "{message}");
}

#[test]
fn lengths_that_cannot_be_are_not_believed() {
    let header = pcap_header(Order::Big, 0xa1b2_c3d4, RAW_IP);
    let good = pcap_packet(Order::Big, 1, 1, 28, &FRAME);
    for (captured_bytes, is_believed) in [(262_144u32, true), (262_145, false), (u32::MAX, false)] {
        let bad = [[0; 8], [captured_bytes.to_be_bytes(), [0, 0, 0, 28]].concat().try_into().unwrap()].concat();
        let (frames, message) = read_damaged(&[&*header, &good, &bad].concat());
        assert_eq!((frames, message.contains("are not believed")), (1, !is_believed), "{message}");
    }
    let good = pcapng(1);
    for (length, what) in [
        (u32::MAX, "claims 4294967295 octets; more than 16777216 are not believed"),
        ((16 << 20) + 4, "more than 16777216 are not believed"),
        (0, "a block of type 0x6 has 0 octets, too few"),
        (11, "a block of type 0x6 has 11 octets, too few"),
        (1 << 20, "ends inside a block of 1048576 octets"),
    ] {
        let block = [&6u32.to_le_bytes()[..], &length.to_le_bytes(), &[0; 100]].concat();
        let (frames, message) = read_damaged(&[&good, &block[..]].concat());
        assert_eq!(frames, 1);
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn blocks_that_contradict_themselves_are_damage() {
    let order = Order::Big;
    let begin = [section(order), interface(order, 101, 0, &[])].concat();
    let mut differing = enhanced(order, 0, 0, 28, &FRAME);
    let last = differing.len() - 1;
    differing[last] ^= 4;
    let too_much = block(order, 6, &[&[0; 12], &order.u32(29)[..], &order.u32(29), &FRAME].concat());
    let mut other_magic = section(order);
    other_magic[8] = 0;
    let mut other_version = section(order);
    other_version[13] = 9;
    for (bad, what) in [
        (differing, "a block says 60 octets at its begin, but 56 at its end"),
        (too_much, "a block of type 0x6 has 60 octets, too few for what it holds"),
        (block(order, 6, &[0; 16]), "a block of type 0x6 has 28 octets, too few"),
        (block(order, 3, &order.u32(1500)), "a block of type 0x3 has 16 octets, too few"),
        (block(order, 1, &[0; 4]), "a block of type 0x1 has 16 octets, too few"),
        (enhanced(order, 1, 0, 28, &FRAME), "a packet is from interface 1, but the section describes 1"),
        (other_magic, "byte-order magic 0x002b3c4d, which is none"),
        (other_version, "version 9.0 of the format is not known"),
        ([section(order), enhanced(order, 0, 0, 28, &FRAME)].concat(), "interface 0, but the section describes 0"),
    ] {
        let file = [&begin[..], &enhanced(order, 0, 0, 28, &FRAME), &bad].concat();
        let (frames, message) = read_damaged(&file);
        assert_eq!(frames, 1, "{what}");
        assert!(message.contains(what), "{message}");
    }
    let old = [&pcap_header(order, 0xa1b2_c3d4, RAW_IP)[..4], &[0, 1, 0, 0], &[0; 16]].concat();
    assert!(read_damaged(&old).1.ends_with("damaged at byte 0: version 1.0 of the format is not known"));
}

#[test]
fn interfaces_are_limited() {
    let description = interface(Order::Big, 1, 0, &[]);
    let file = [section(Order::Big), description.repeat(70_000)].concat();
    assert!(matches!(read(&file).1, Some(DamagedFile { damage: Damage::TooManyInterfaces { limit: 65_536 }, .. })));
}

#[test]
fn strange_lengths_are_no_damage() {
    let header = pcap_header(Order::Big, 0xa1b2_c3d4, RAW_IP);
    // More captured than there was; nothing captured; longer than anything.
    let file = [
        header,
        pcap_packet(Order::Big, 1, 0, 10, &FRAME),
        pcap_packet(Order::Big, 1, 0, 0, &[]),
        pcap_packet(Order::Big, 1, 0, u32::MAX, &FRAME),
    ]
    .concat();
    let (chunks, damaged) = read(&file);
    assert!(damaged.is_none());
    assert_eq!(chunks[0].packets.iter().map(|packet| packet.wire_bytes).collect::<Vec<_>>(), [10, u32::MAX]);
    assert_eq!(chunks[0].counts.undecoded.values().sum::<u64>(), 1);
}
