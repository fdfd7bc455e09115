//! The collector's memory at work: packets of known flows cost none, names cost
//! what is kept of them.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    collections::BTreeMap,
    io::{self, Cursor},
};

use allocation_counter::measure;
use iotq_collector::{
    capture::file::FileReader,
    chunk::{Aims, Chunk},
    window::Window,
};
use iotq_proto::v1;
use iotq_tests::{
    mix::{HouseholdMix, Storm, household_mix, storm},
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MILLI_NS, MINUTE_NS, Span},
};

/// Past the size at which a batch is sealed, so that all tables have the size they
/// keep.
const WARM_UP: usize = 400_000;
const MEASURED: usize = 60_000;
const CHUNK: usize = 1024;
const AT_NS: i64 = 1_790_000_000_000_000_000;

type Emit<'a> = dyn FnMut(i64, &[u8]) -> io::Result<()> + 'a;

fn capture(make: impl FnOnce(&mut Emit<'_>)) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = PcapWriter::new(&mut octets, ETHERNET, Precision::Nano, ByteOrder::Little).unwrap();
    make(&mut |at_ns, frame| writer.write(at_ns, frame));
    writer.finish().unwrap();
    octets
}

/// What reading, decoding, picking, connections, names and window allocate for
/// packets after the warm-up, which lie in one batch; and all batches.
fn allocations(capture: Vec<u8>) -> (u64, Vec<v1::Batch>) {
    let aims = Aims::default();
    let mut reader = FileReader::from_reader("made", Cursor::new(capture)).unwrap().with_aims(aims);
    let mut window = Window::new(aims);
    let mut batches = Vec::with_capacity(16);
    let mut next = |window: &mut Window, batches: &mut Vec<v1::Batch>| {
        let chunk: Option<Chunk> = reader.read_chunk(CHUNK).unwrap();
        let packets = chunk.as_ref().map(|chunk| chunk.packets.len());
        if let Some(chunk) = chunk {
            window.add(&chunk, batches);
            reader.recycle(chunk);
        }
        packets
    };
    let mut packets = 0;
    while packets < WARM_UP {
        packets += next(&mut window, &mut batches).expect("there is more");
    }
    assert!(!batches.is_empty(), "the warm-up seals a batch");
    let before = batches.len();
    let mut measured = 0;
    let counted = measure(|| {
        while measured < MEASURED {
            measured += next(&mut window, &mut batches).expect("there is more");
        }
    });
    assert_eq!(batches.len(), before, "making a batch is not part of it");
    while next(&mut window, &mut batches).is_some() {}
    batches.extend(window.finish());
    (counted.count_total, batches)
}

#[test]
fn packets_of_known_flows_allocate_nothing() {
    let packets = (WARM_UP + MEASURED + 2 * CHUNK) as u64;
    // Ten thousand a second: each flow has some packets in each slice.
    let mut at_ns = AT_NS;
    let capture = capture(|emit| {
        let storm_of = Storm { packets, flows: 500, at_ns: AT_NS, seed: 1 };
        storm(&storm_of, &mut |_: i64, frame: &[u8]| {
            at_ns += MILLI_NS / 10;
            emit(at_ns, frame)
        })
        .unwrap();
    });
    let (count, batches) = allocations(capture);
    assert_eq!(batches.iter().map(|batch| batch.frames).sum::<u64>(), packets);
    assert_eq!(count, 0, "{MEASURED} packets of 500 flows");
}

#[test]
fn names_and_connections_allocate_for_what_is_kept_of_them() {
    // Some frames are no packets.
    let packets = (WARM_UP + MEASURED + 8 * CHUNK) as u64;
    let span = Span { since_ns: AT_NS, until_ns: AT_NS + 120 * MINUTE_NS };
    let mut times = Vec::new();
    let capture = capture(|emit| {
        let mix = HouseholdMix { packets, devices: 40, span, seed: 1 };
        household_mix(&mix, &mut |at_ns: i64, frame: &[u8]| {
            times.push(at_ns);
            emit(at_ns, frame)
        })
        .unwrap();
    });
    let (count, batches) = allocations(capture);
    // Some chunks more than that were measured, and some frames are no packets.
    let (from_ns, until_ns) = (times[WARM_UP - CHUNK], times[WARM_UP + MEASURED + CHUNK]);
    let within = |at_ns: &i64| (from_ns..until_ns).contains(at_ns);
    let mut kept = BTreeMap::new();
    for batch in &batches {
        let questions = batch.dns.iter().filter(|row| within(&row.asked_at_ns)).count();
        *kept.entry("dns").or_insert(0) += questions;
        *kept.entry("hellos").or_insert(0) += batch.tls_hellos.iter().filter(|row| within(&row.seen_at_ns)).count();
        *kept.entry("times").or_insert(0) +=
            batch.time_requests.iter().filter(|row| within(&row.requested_at_ns)).count();
        let begun = batch.connections.iter().filter(|row| row.update == 1 && within(&row.started_at_ns)).count();
        *kept.entry("connections").or_insert(0) += begun;
    }
    assert!(kept.values().all(|count| *count > 100), "the mix has all of it: {kept:?}");
    // A question has its name, two addresses, and an answer with name and data; a
    // hello two addresses, name, protocols and fingerprint, and the name once more for
    // its connection; the server chooses a protocol. A time request has two addresses.
    let most = 9 * kept["dns"] + 12 * kept["hellos"] + 2 * kept["times"] + kept["connections"];
    assert!(count <= most as u64, "{count} allocations for {kept:?} in {MEASURED} packets");
}
