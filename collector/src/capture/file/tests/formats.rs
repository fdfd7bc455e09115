//! Every format that is read, and those that are refused.

use iotq_proto::UndecodedReason;

use super::*;
use crate::chunk::{Covered, Input};

#[test]
fn classic_pcap_is_read_in_both_byte_orders_and_units() {
    for order in [Order::Big, Order::Little] {
        for (magic, nanos) in [(0xa1b2_c3d4, 1_000_000_007_000), (0xa1b2_3c4d, 1_000_000_000_007)] {
            let packet = pcap_packet(order, 1000, 7, 60, &FRAME);
            let file = [pcap_header(order, magic, RAW_IP), packet.clone(), packet].concat();
            let packets = packets(&file);
            assert_eq!(packets.len(), 2, "{order:?} {magic:#x}");
            assert_eq!((packets[1].captured_at.as_nanos(), packets[1].wire_bytes), (nanos, 60));
        }
    }
}

#[test]
fn modified_pcap_has_longer_packet_headers() {
    for order in [Order::Big, Order::Little] {
        let mut packet = pcap_packet(order, 1000, 7, 60, &FRAME);
        packet.splice(16..16, [0, 0, 0, 3, 8, 0, 0, 0]);
        let file = [pcap_header(order, 0xa1b2_cd34, RAW_IP), packet.clone(), packet].concat();
        assert_eq!(packets(&file).len(), 2);
    }
}

#[test]
fn the_link_type_is_without_flags() {
    // draft-ietf-opsawg-pcap, section 4: the upper bits tell about check sequences.
    let header = pcap_header(Order::Big, 0xa1b2_c3d4, 0x5400_0000 | RAW_IP);
    assert_eq!(packets(&[header, pcap_packet(Order::Big, 1, 2, 28, &FRAME)].concat()).len(), 1);
    // A number that no registry has.
    let header = pcap_header(Order::Big, 0xa1b2_c3d4, 0x0010_0065);
    let (chunks, _) = read(&[header, pcap_packet(Order::Big, 1, 2, 28, &FRAME)].concat());
    assert_eq!(chunks[0].counts.undecoded[&UndecodedReason::LinkType], 1);
}

#[test]
fn seconds_are_unsigned() {
    let header = pcap_header(Order::Big, 0xa1b2_c3d4, RAW_IP);
    let file = [header, pcap_packet(Order::Big, u32::MAX, u32::MAX, 28, &FRAME)].concat();
    assert_eq!(packets(&file)[0].captured_at.as_nanos(), 4_294_967_295_000_000_000 + 4_294_967_295_000);
}

#[test]
fn pcapng_sections_may_differ_in_byte_order_and_interfaces() {
    let mut file = Vec::new();
    for order in [Order::Big, Order::Little] {
        file.extend(section(order));
        // A vendor's block, and names.
        file.extend(block(order, 0x8000_0001, b"whatever"));
        file.extend(interface(order, 1, 65_535, &[]));
        // Nanoseconds.
        let resolution = [&order.u16(9)[..], &order.u16(1), &[9, 0, 0, 0], &[0; 4]].concat();
        file.extend(interface(order, 101, 96, &resolution));
        file.extend(enhanced(order, 1, 1_000_000_000_007, 60, &FRAME));
        file.extend(block(order, 4, &[0; 4]));
        let ethernet = [&[0; 12], &[8, 0][..], &FRAME].concat();
        file.extend(enhanced(order, 0, 1_000_000_007, 70, &ethernet));
    }
    let packets = packets(&file);
    let seen: Vec<_> = packets.iter().map(|packet| (packet.captured_at.as_nanos(), packet.wire_bytes)).collect();
    assert_eq!(seen, [(1_000_000_000_007, 60), (1_000_000_007_000, 70)].repeat(2));
}

#[test]
fn simple_packets_have_the_first_interface_and_the_time_before() {
    let order = Order::Big;
    let simple = |wire_bytes: u32, bytes: &[u8]| block(order, 3, &[&order.u32(wire_bytes), bytes].concat());
    let cut = [section(order), interface(order, 101, 24, &[]), simple(1500, &FRAME[..24])].concat();
    assert_eq!(packets(&cut)[0].wire_bytes, 1500);
    let whole = [
        section(order),
        interface(order, 101, 0, &[]),
        simple(28, &FRAME),
        enhanced(order, 0, 1_000_000, 28, &FRAME),
        simple(28, &FRAME),
    ]
    .concat();
    let (chunks, damaged) = read(&whole);
    assert!(damaged.is_none());
    let times: Vec<_> = chunks[0].packets.iter().map(|packet| packet.captured_at.second()).collect();
    assert_eq!(times, [0, 1, 1]);
    // Time that is not in the capture covers nothing.
    let at = chunks[0].packets[1].captured_at;
    assert_eq!(chunks[0].covered, Some(Covered { from_at: at, last_at: at }));
}

#[test]
fn obsolete_packets_are_read() {
    let order = Order::Little;
    let words = [0, 1_000_000, 28, 60].map(|word| order.u32(word)).concat();
    let body = [&order.u16(0)[..], &order.u16(3), &words, &FRAME].concat();
    let file = [section(order), interface(order, 101, 0, &[]), block(order, 2, &body)].concat();
    let [packet] = packets(&file).try_into().unwrap();
    assert_eq!((packet.captured_at.second(), packet.wire_bytes), (1, 60));
}

#[test]
fn times_that_cannot_be_stored_are_kept_at_the_nearest() {
    let order = Order::Little;
    let file = [section(order), interface(order, 101, 0, &[]), enhanced(order, 0, u64::MAX, 28, &FRAME)].concat();
    let (chunks, _) = read(&file);
    assert_eq!((chunks[0].packets[0].captured_at, chunks[0].clamped_times), (iotq_proto::Timestamp::MAX, 1));
}

#[test]
fn packing_is_taken_off() {
    let plain = pcap(5);
    let halves = plain.split_at(100);
    for (name, file) in [
        ("gzip", gzip(&plain)),
        ("zstd", zstd(&plain)),
        ("gzip members", [gzip(halves.0), gzip(halves.1)].concat()),
        ("gzip padded with zeros", [gzip(&plain), vec![0; 1000]].concat()),
        ("zstd frames", [zstd(halves.0), zstd(halves.1)].concat()),
        ("zstd after a skippable frame", [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &*zstd(&plain)].concat()),
        ("gzip in zstd", zstd(&gzip(&plain))),
        ("zstd in gzip in gzip", gzip(&gzip(&zstd(&plain)))),
        ("pcapng in gzip", gzip(&pcapng(5))),
    ] {
        assert_eq!(packets(&file).len(), 5, "{name}");
    }
}

#[test]
fn captures_without_packets_are_fine() {
    for file in [pcap(0), pcapng(0), section(Order::Big), gzip(&pcap(0))] {
        assert_eq!(packets(&file).len(), 0);
    }
}

#[test]
fn chunks_have_the_size_asked_for_and_the_first_says_where_it_is_from() {
    let (chunks, _) = read(&pcap(7));
    assert_eq!(chunks.iter().map(|chunk| chunk.packets.len()).collect::<Vec<_>>(), [3, 3, 1]);
    let Some(Input::File(source)) = &chunks[0].begins else { panic!() };
    assert_eq!((source.name.as_str(), source.fingerprint.len()), ("test.pcap", 16));
    assert!(chunks[1].begins.is_none() && chunks[2].begins.is_none());
    let secs = chunks[1].covered.map(|covered| (covered.from_at.second(), covered.last_at.second()));
    assert_eq!(secs, Some((1003, 1005)));
}

#[test]
fn fingerprints_are_of_the_first_octets_as_they_are() {
    let fingerprint = |file: &[u8]| open(file).unwrap().replay_source().fingerprint.clone();
    let long = pcap(3000);
    assert!(long.len() > 64 << 10);
    let mut longer = long.clone();
    longer.extend(pcap_packet(Order::Little, 1, 1, 28, &FRAME));
    assert_eq!(fingerprint(&long), fingerprint(&longer));
    assert_ne!(fingerprint(&long), fingerprint(&pcap(2)));
    assert_ne!(fingerprint(&pcap(2)), fingerprint(&gzip(&pcap(2))));
    // SHA-256 of the 24 octets of an empty capture.
    assert_eq!(fingerprint(&pcap(0))[..4], [0x7f, 0xc3, 0x4f, 0x2f]);
}

#[test]
fn progress_is_in_octets_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcap.gz");
    let file = gzip(&pcap(5000));
    std::fs::write(&path, &file).unwrap();
    let mut reader = FileReader::open(&crate::capture::file::FileInput::from(path.as_path())).unwrap();
    assert_eq!(reader.size(), Some(file.len() as u64));
    while reader.read_chunk(1000).unwrap().is_some() {}
    assert_eq!(reader.position(), file.len() as u64);
    assert_eq!(reader.replay_source().name, "a.pcap.gz");
    assert_eq!(open(&pcap(1)).unwrap().size(), None);
}

#[test]
fn other_files_are_refused_by_name() {
    let tar = [&[b'a'; 257][..], b"ustar\0", &[0; 249]].concat();
    for (file, message) in [
        (b"snoop\0\0\0\0\0\0\x02".to_vec(), "it looks like a Solaris snoop file"),
        (b"XCP\x00002.002".to_vec(), "it looks like a NetXRay"),
        (b"GMBU\0\0".to_vec(), "it looks like a Microsoft Network Monitor 2 file"),
        (b"\xfd7zXZ\0\0".to_vec(), "it looks like an xz file; unpack it first"),
        (tar, "it looks like a tar archive"),
        (b"12:00:00.1 IP 192.0.2.1 > 198.51.100.7: UDP\n".to_vec(), "it looks like text"),
        ("übung".as_bytes()[..2].to_vec(), "it looks like text"),
        (b"{\"a\": 1}".to_vec(), "it looks like JSON"),
        (vec![0; 100], "it looks like nothing known (it begins with 00 00 00 00 00 00 00 00)"),
        (vec![0xa1, 0xb2], "it looks like nothing known (it begins with a1 b2)"),
        (gzip(b"snoop\0\0\0"), "no pcap or pcapng capture: unpacked, it looks like a Solaris snoop file"),
        ((0..6).fold(pcap(1), |file, _| gzip(&file)), "too many times"),
        (Vec::new(), "`test.pcap` is empty"),
        (gzip(b""), "`test.pcap` is empty"),
    ] {
        let error = open(&file).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn files_that_cannot_be_opened_are_named() {
    let open = |path: &str| FileReader::open(&crate::capture::file::FileInput::from(std::path::Path::new(path)));
    let error = open("/nonexistent/x.pcap").unwrap_err();
    let chain = iotq_proto::error::Chain(&error).to_string();
    assert!(chain.starts_with("cannot open `/nonexistent/x.pcap`: No such file or directory"), "{chain}");
    let error = open("/").unwrap_err();
    assert!(iotq_proto::error::Chain(&error).to_string().starts_with("cannot open `/`: is a directory"));
}
