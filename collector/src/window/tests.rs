use std::collections::BTreeMap;

use iotq_proto::{CheckedBatch, MAX_BATCH_BYTES, MAX_BATCH_SLICES, SightingKind, VlanId};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    chunk::Sighting,
    packet::{Endpoint, FlowKey, Shared},
};

const SECOND: i64 = 1_000_000_000;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos).unwrap()
}

fn signed(number: usize) -> i64 {
    number.try_into().unwrap()
}

fn packet(flow: u32, nanos: i64) -> Packet {
    let [_, b, c, d] = flow.to_be_bytes();
    let mut ip = [0; 16];
    ip[13..].copy_from_slice(&[b, c, d]);
    let src = Endpoint { ip, port: 49152, mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, d]) };
    let dst = Endpoint { ip: [0xff; 16], port: 443, mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, 0xff]) };
    let shared = Shared { vlan: VlanId::UNTAGGED, protocol: 6, ip_version: 6, has_ports: true };
    let (key, from_a) = FlowKey::between(src, dst, shared);
    Packet {
        captured_at: at(nanos),
        key,
        from_a,
        wire_bytes: 60,
        payload_bytes: 6,
        tcp_flags: 0x10,
        tcp_seq: 0,
        tcp_ack: 0,
    }
}

fn chunk(packets: Vec<Packet>) -> Chunk {
    let times = || packets.iter().map(|packet| packet.captured_at);
    let covered = times().min().zip(times().max()).map(|(from_at, last_at)| Covered { from_at, last_at });
    Chunk { packets, covered, ..Default::default() }
}

fn tick(from: i64, last: i64) -> Chunk {
    Chunk { covered: Some(Covered { from_at: at(from), last_at: at(last) }), ..Default::default() }
}

fn live() -> (Window, Vec<v1::Batch>) {
    let (mut window, mut sealed) = (Window::new(Aims::default()), Vec::new());
    window.add(&Chunk { begins: Some(Input::Live), ..Default::default() }, &mut sealed);
    (window, sealed)
}

fn sealed_from(chunks: &[Chunk]) -> Vec<v1::Batch> {
    let (mut window, mut sealed) = (Window::new(Aims::default()), Vec::new());
    for chunk in chunks {
        window.add(chunk, &mut sealed);
    }
    sealed.extend(window.finish());
    sealed
}

/// Without what seals batches earlier than packets do.
fn sealed_packets_of(chunk: &Chunk) -> Vec<v1::Batch> {
    let (mut window, mut sealed) = (Window::new(Aims { names: false, connections: false }), Vec::new());
    window.add(chunk, &mut sealed);
    sealed.extend(window.finish());
    sealed
}

fn checked(batch: &v1::Batch) -> CheckedBatch {
    assert!(batch.encoded_len() <= MAX_BATCH_BYTES, "{} octets", batch.encoded_len());
    let stamped = v1::Batch { collector: "attic".into(), epoch: 1, seq: 1, sealed_at_ns: 1, ..batch.clone() };
    CheckedBatch::try_from(stamped).unwrap()
}

/// Each packet as a text, in the order they are in the batches.
fn packets_of(batches: &[v1::Batch]) -> Vec<String> {
    let mut packets = Vec::new();
    for slices in batches.iter().filter_map(|batch| batch.slices.as_ref()) {
        let mut begin = 0;
        for (slice, count) in slices.packets.iter().enumerate() {
            let end = begin + *count as usize;
            for index in begin..end {
                let nanos = slices.second[slice] * SECOND + i64::from(slices.offset_ns[index]);
                packets.push(format!(
                    "{nanos} {:?} {:?} {} {} {} {} {} {} {} {} {} {} {} {:#x}",
                    &slices.a_ip[slice * 16..][..16],
                    &slices.b_ip[slice * 16..][..16],
                    slices.a_mac[slice],
                    slices.b_mac[slice],
                    slices.vlan_id[slice],
                    slices.a_port[slice],
                    slices.b_port[slice],
                    slices.protocol[slice],
                    slices.ip_version[slice],
                    slices.has_ports[slice],
                    slices.wire_bytes[index],
                    slices.payload_bytes[index],
                    slices.from_a[index],
                    slices.tcp_flags[index],
                ));
            }
            begin = end;
        }
    }
    packets
}

fn texts_of(packets: &[Packet]) -> Vec<String> {
    let text = |packet: &Packet| {
        let key = &packet.key;
        format!(
            "{} {:?} {:?} {} {} {} {} {} {} {} {} {} {} {} {:#x}",
            packet.captured_at.as_nanos(),
            &key.a_ip[..],
            &key.b_ip[..],
            key.a_mac.as_u64(),
            key.b_mac.as_u64(),
            key.vlan.as_u16(),
            key.a_port,
            key.b_port,
            key.protocol,
            key.ip_version,
            u8::from(key.has_ports),
            packet.wire_bytes,
            packet.payload_bytes,
            u8::from(packet.from_a),
            packet.tcp_flags,
        )
    };
    packets.iter().map(text).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[test]
fn packets_of_one_flow_and_second_are_one_slice() {
    let packets = vec![packet(1, 10), packet(2, 20), packet(1, SECOND - 1), packet(1, SECOND), packet(2, 30)];
    let [batch] = sealed_from(&[chunk(packets)]).try_into().expect("one batch");
    let slices = batch.slices.unwrap();
    assert_eq!(slices.second, [0, 0, 1]);
    assert_eq!(slices.packets, [2, 2, 1]);
    assert_eq!(slices.offset_ns, [10, 999_999_999, 20, 30, 0]);
}

#[test]
fn times_before_1970_keep_their_order() {
    let [batch] = sealed_from(&[chunk(vec![packet(1, -1), packet(1, 0)])]).try_into().expect("one batch");
    let slices = batch.slices.unwrap();
    assert_eq!((slices.second, slices.offset_ns), (vec![-1, 0], vec![999_999_999, 0]));
}

#[test]
fn a_late_packet_opens_a_slice_of_its_own_second() {
    let [batch] = sealed_from(&[chunk(vec![packet(1, SECOND), packet(1, 5)])]).try_into().expect("one batch");
    assert_eq!(batch.slices.unwrap().second, [1, 0]);
}

#[test]
fn a_full_batch_is_sealed() {
    let packets = (0..=signed(SEAL_PACKETS)).map(|nanos| packet(1, nanos)).collect();
    let sealed = sealed_from(&[chunk(packets)]);
    assert_eq!(sealed.iter().map(|batch| batch.frames).collect::<Vec<_>>(), [SEAL_PACKETS as u64, 1]);
}

#[test]
fn every_packet_its_own_flow_stays_within_the_limits() {
    let packets: Vec<_> = (0..80_000).map(|flow| packet(flow, i64::from(flow))).collect();
    let sealed = sealed_packets_of(&chunk(packets));
    assert_eq!(sealed.len(), 80_000_usize.div_ceil(MAX_BATCH_SLICES));
    assert_eq!(sealed.iter().map(|batch| checked(batch).packets()).sum::<u64>(), 80_000);
}

#[test]
fn the_largest_batch_that_can_be_sealed_fits_into_a_message() {
    let mut chunk = Chunk::default();
    for flow in (0..MAX_BATCH_SLICES).cycle().take(SEAL_PACKETS - 1) {
        let mut packet = packet(u32::try_from(flow).unwrap(), Timestamp::MAX.as_nanos() - 1);
        packet.key.a_mac = MacAddr::from_u64((1 << 48) - 1).unwrap();
        packet.key.b_mac = packet.key.a_mac;
        packet.key.a_port = u16::MAX;
        packet.key.b_port = u16::MAX;
        (packet.wire_bytes, packet.payload_bytes, packet.tcp_flags) = (u32::MAX, u32::MAX, Packet::NO_TCP_FLAGS);
        chunk.packets.push(packet);
    }
    for index in 0..MAX_KINDS as u64 {
        let mac = MacAddr::from_u64((1 << 48) - 1 - index).unwrap();
        let huge = FramesAndBytes { frames: u64::MAX >> 20, wire_bytes: u64::MAX };
        chunk.counts.no_ip.insert((LinkProtocol::family(0xffff), mac), huge);
        chunk.sightings.push(Sighting {
            kind: SightingKind::RaPrefix,
            vlan: VlanId::UNTAGGED,
            mac,
            ip: Some([0xff; 16]),
            prefix_len: 128,
            seen_at: Timestamp::MAX,
            text: String::new(),
        });
    }
    let source = v1::ReplaySource { name: "x".repeat(255), fingerprint: vec![0xff; 16] };
    chunk.begins = Some(Input::File(source));
    let [batch] = <[_; 1]>::try_from(sealed_packets_of(&chunk)).map_err(|sealed| sealed.len()).expect("one batch");
    let _ = checked(&batch);
    // Names and connections have up to 5 MiB besides.
    assert!(batch.encoded_len() < MAX_BATCH_BYTES - (6 << 20), "{} octets", batch.encoded_len());
}

#[test]
fn many_kinds_of_frames_without_ip_seal_early() {
    let mut hostile = Chunk::default();
    for mac in 1..=MAX_KINDS as u64 * 2 + 1 {
        let kind = (LinkProtocol::ether_type(0x88cc), MacAddr::from_u64(mac).unwrap());
        hostile.counts.no_ip.insert(kind, FramesAndBytes { frames: 1, wire_bytes: 60 });
    }
    let sealed = sealed_from(&[hostile]);
    assert_eq!(sealed.len(), 3);
    assert_eq!(sealed.iter().map(|batch| checked(batch).batch().frames).sum::<u64>(), MAX_KINDS as u64 * 2 + 1);
}

#[test]
fn sightings_of_one_identity_are_one() {
    let sighting = |seen_at| Sighting {
        kind: SightingKind::Arp,
        vlan: VlanId::UNTAGGED,
        mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, 1]),
        ip: Some([1; 16]),
        prefix_len: 128,
        seen_at: at(seen_at),
        text: String::new(),
    };
    let chunk = Chunk { sightings: vec![sighting(7), sighting(3), sighting(5)], ..Default::default() };
    let [batch] = sealed_from(&[chunk]).try_into().expect("one batch");
    let [seen] = batch.sightings.try_into().expect("one sighting");
    assert_eq!((seen.count, seen.first_at_ns, seen.last_at_ns), (3, 3, 7));
}

#[test]
fn batches_of_one_input_cover_without_a_gap() {
    let packets = |seconds: std::ops::Range<i64>| chunk(seconds.map(|second| packet(1, second * SECOND)).collect());
    let file = Chunk { begins: Some(Input::File(v1::ReplaySource::default())), ..Default::default() };
    let (mut window, mut sealed) = (Window::new(Aims::default()), Vec::new());
    window.add(&file, &mut sealed);
    window.add(&packets(0..5), &mut sealed);
    sealed.extend(window.finish());
    window.add(&packets(9..12), &mut sealed);
    // Another file: what lies between them is not covered.
    window.add(&file, &mut sealed);
    window.add(&packets(20..21), &mut sealed);
    sealed.extend(window.finish());
    let covered: Vec<_> =
        sealed.iter().map(|batch| (batch.covered_from_at_ns.unwrap(), batch.covered_until_at_ns.unwrap())).collect();
    assert_eq!(covered, [(0, 4 * SECOND + 1), (4 * SECOND + 1, 11 * SECOND + 1), (20 * SECOND, 20 * SECOND + 1)]);
}

#[test]
fn time_that_goes_back_is_another_stretch() {
    let year = 365 * 86_400 * SECOND;
    let count = signed(MIN_PACKETS_BEFORE_JUMP);
    let packets = (0..count).map(|nanos| packet(1, year + nanos)).chain((0..5).map(|nanos| packet(1, nanos)));
    let sealed = sealed_from(&[chunk(packets.collect())]);
    let covered: Vec<_> = sealed.iter().map(|batch| (batch.covered_from_at_ns, batch.covered_until_at_ns)).collect();
    assert_eq!(covered, [(Some(year), Some(year + count)), (Some(0), Some(5))]);
}

#[test]
fn a_time_out_of_range_does_not_cover_centuries() {
    let [batch] = sealed_from(&[chunk(vec![packet(1, 7)]), chunk(vec![packet(1, Timestamp::MAX.as_nanos())])])
        .try_into()
        .expect("one batch");
    assert_eq!((batch.covered_from_at_ns, batch.covered_until_at_ns), (Some(7), Some(8)));
    let [batch] = sealed_from(&[chunk(vec![packet(1, Timestamp::MAX.as_nanos())])]).try_into().expect("one batch");
    assert_eq!(batch.covered_from_at_ns, Some(Timestamp::MAX.as_nanos()));
    let _ = checked(&batch);
}

#[test]
fn live_a_busy_batch_leaves_after_a_second_and_a_quiet_trickle_after_ten() {
    let (mut window, mut sealed) = live();
    for second in 0..10 {
        let busy = (0..signed(QUIET_PACKETS)).map(|nanos| packet(1, second * SECOND + nanos)).collect();
        window.add(&chunk(busy), &mut sealed);
        window.add(&tick(second * SECOND, (second + 1) * SECOND), &mut sealed);
    }
    assert_eq!(sealed.len(), 10);

    let (mut window, mut sealed) = live();
    for second in 0..1000 {
        let mut chunk = tick(second * SECOND, (second + 1) * SECOND);
        chunk.packets.push(packet(1, second * SECOND));
        window.add(&chunk, &mut sealed);
    }
    let (early, late) = (sealed[..CREDIT_BATCHES as usize].iter(), sealed[CREDIT_BATCHES as usize + 20..].iter());
    assert!(early.clone().all(|batch| batch.frames == 1));
    assert!(late.clone().map(|batch| batch.frames).sum::<u64>() > 5 * late.count() as u64, "{}", sealed.len());
}

#[test]
fn live_many_open_connections_are_told_of_over_some_seconds() {
    const OPEN: u32 = 20_000;
    let (mut window, mut sealed) = live();
    window.add(&chunk((1..=OPEN).map(|flow| packet(flow, 0)).collect()), &mut sealed);
    for second in 0..10 {
        let busy = (0..signed(QUIET_PACKETS)).map(|nanos| packet(1, second * SECOND + nanos)).collect();
        window.add(&chunk(busy), &mut sealed);
        window.add(&tick(second * SECOND, (second + 1) * SECOND), &mut sealed);
    }
    let told: Vec<_> = sealed.iter().map(|batch| batch.connections.len()).filter(|told| *told > 0).collect();
    assert!(told.len() == 3 && told.iter().all(|told| *told <= CONNECTIONS_LIVE), "{told:?}");
    assert_eq!(told.iter().sum::<usize>(), OPEN as usize);
    // As long as there are packets, no batch is only of connections; at the end all are told of again.
    assert!(sealed.iter().all(|batch| batch.frames > 0));
    let rest: usize = window.finish().map(|batch| batch.connections.len()).sum();
    assert_eq!(rest, OPEN as usize);
}

#[test]
fn live_silence_is_reported_each_ten_seconds() {
    let (mut window, mut sealed) = live();
    for second in 0..60 {
        window.add(&tick(second * SECOND, (second + 1) * SECOND), &mut sealed);
    }
    assert_eq!(sealed.len(), 6);
    let _ = sealed.iter().map(checked).collect::<Vec<_>>();
}

#[test]
fn live_a_clock_that_jumps_leaves_a_gap() {
    let (mut window, mut sealed) = live();
    window.add(&tick(0, SECOND), &mut sealed);
    window.add(&tick(1000 * SECOND, 1001 * SECOND), &mut sealed);
    window.add(&tick(500 * SECOND, 501 * SECOND), &mut sealed);
    sealed.extend(window.finish());
    let covered: Vec<_> = sealed.iter().map(|batch| batch.covered_from_at_ns.unwrap() / SECOND).collect();
    assert_eq!(covered, [0, 1000, 500]);
}

#[test]
fn a_batch_taken_back_becomes_losses_of_the_next() {
    let (mut window, mut sealed) = live();
    let mut first = chunk(vec![packet(1, 1), packet(2, 2)]);
    first.counts.undecoded.insert(UndecodedReason::IpVersion, 3);
    let kind = (LinkProtocol::ether_type(0x88cc), MacAddr::NONE);
    first.counts.no_ip.insert(kind, FramesAndBytes { frames: 4, wire_bytes: 240 });
    window.add(&first, &mut sealed);
    sealed.extend(window.finish());
    let lost = sealed.pop().unwrap();
    window.take_back(lost, LossStage::UplinkQueue);
    window.add(&chunk(vec![packet(1, SECOND)]), &mut sealed);
    sealed.extend(window.finish());
    let [batch] = sealed.try_into().expect("one batch");
    let _ = checked(&batch);
    assert_eq!(batch.frames, 1 + 2 + 3 + 4);
    assert_eq!(batch.lost, [v1::LossCount { stage: LossStage::UplinkQueue.into(), packets: 2 }]);
    assert_eq!((batch.covered_from_at_ns, batch.covered_until_at_ns), (Some(1), Some(SECOND + 1)));
}

#[test]
fn names_and_connections_of_a_batch_taken_back_are_in_the_next() {
    let (mut window, mut sealed) = live();
    let update = |number| v1::ConnectionUpdate { number, update: 1, ..Default::default() };
    let taken = v1::Batch {
        connections: (1..=40_000).map(update).collect(),
        dns: vec![v1::DnsTransaction { qname: "example.com".into(), ..Default::default() }],
        tls_hellos: vec![v1::TlsHello { sni: "example.com".into(), ..Default::default() }],
        time_requests: vec![v1::TimeRequest { version: 4, ..Default::default() }],
        ..Default::default()
    };
    window.take_back(taken.clone(), LossStage::UplinkQueue);
    sealed.extend(window.finish());
    let [batch] = sealed.try_into().expect("one batch");
    assert_eq!(batch.connections, taken.connections[..MAX_BATCH_CONNECTIONS]);
    assert_eq!((&batch.dns, &batch.tls_hellos), (&taken.dns, &taken.tls_hellos));
    assert_eq!(batch.time_requests, taken.time_requests);
    assert_eq!((batch.frames, batch.covered_from_at_ns), (0, None));
}

/// The batches that tell names or connections, of those sealed.
fn telling(sealed: &[v1::Batch]) -> Vec<bool> {
    sealed.iter().map(|batch| !batch.connections.is_empty() || !batch.sightings.is_empty()).collect()
}

#[test]
fn batches_of_a_file_tell_connections_and_sightings_in_each_fourth_and_at_the_end() {
    let file = Chunk { begins: Some(Input::File(v1::ReplaySource::default())), ..Default::default() };
    let (mut window, mut sealed) = (Window::new(Aims::default()), Vec::new());
    window.add(&file, &mut sealed);
    for batch in 0..6 {
        // A connection is told of when it is two seconds old.
        let begin = i64::from(batch) * SECOND;
        let packets = (0..i64::try_from(SEAL_PACKETS).unwrap()).map(|index| packet(batch, begin + index)).collect();
        window.add(&chunk(packets), &mut sealed);
    }
    sealed.extend(window.finish());
    assert_eq!(telling(&sealed), [false, false, false, true, false, false, true]);
    let updates: Vec<_> = sealed.iter().flat_map(|batch| checked(batch).batch().connections.clone()).collect();
    let packets: u64 = updates.iter().map(|update| update.orig_packets + update.resp_packets).sum();
    assert_eq!(packets, 6 * SEAL_PACKETS as u64);
}

#[test]
fn live_batches_tell_what_they_saw_once_a_second() {
    let (mut window, mut sealed) = live();
    // Three full batches within a second, then one in the next; before each something was seen.
    for batch in 0..4 {
        let seen = Sighting {
            kind: SightingKind::Arp,
            mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, u32::to_be_bytes(batch)[3]]),
            ip: Some([0; 16]),
            prefix_len: 128,
            vlan: VlanId::UNTAGGED,
            text: String::new(),
            seen_at: at(1),
        };
        window.add(&Chunk { sightings: vec![seen], ..Default::default() }, &mut sealed);
        let begin = i64::from(batch) * SECOND / 3;
        let packets =
            (0..i64::try_from(SEAL_PACKETS_LIVE).unwrap()).map(|index| packet(batch, begin + index)).collect();
        window.add(&chunk(packets), &mut sealed);
    }
    assert_eq!(telling(&sealed), [true, false, false, true]);
}

#[test]
fn live_the_last_batch_tells_all_connections_however_short_a_while_after_another() {
    let (mut window, mut sealed) = live();
    window.add(&chunk((0..SEAL_PACKETS_LIVE).map(|index| packet(1, signed(index))).collect()), &mut sealed);
    window.add(&chunk(vec![packet(1, SECOND / 10)]), &mut sealed);
    sealed.extend(window.finish());
    assert_eq!(telling(&sealed), [false, true]);
    let updates = sealed.iter().flat_map(|batch| &batch.connections);
    assert_eq!(
        updates.map(|update| update.orig_packets + update.resp_packets).sum::<u64>(),
        SEAL_PACKETS_LIVE as u64 + 1
    );
}

#[test]
fn connections_leave_with_batches_and_all_have_ended_with_their_input() {
    let file = Chunk { begins: Some(Input::File(v1::ReplaySource::default())), ..Default::default() };
    let (mut window, mut sealed) = (Window::new(Aims::default()), Vec::new());
    window.add(&file, &mut sealed);
    window.add(&chunk((0..20_000).map(|flow| packet(flow, i64::from(flow))).collect()), &mut sealed);
    window.add(&file, &mut sealed);
    let updates: Vec<_> = sealed.iter().flat_map(|batch| checked(batch).batch().connections.clone()).collect();
    let ended = updates.iter().filter(|update| update.end == iotq_proto::ConnectionEnd::Input as i32).count();
    assert_eq!(ended, 20_000);
    assert_eq!(updates.iter().map(|update| update.orig_packets + update.resp_packets).sum::<u64>(), 20_000);
    // The last ones have neither packets nor time.
    let last = sealed.last().unwrap();
    assert_eq!((last.frames, last.covered_from_at_ns, last.source.is_some()), (0, None, true));

    let (mut window, mut sealed) = (Window::new(Aims { names: true, connections: false }), Vec::new());
    window.add(&chunk(vec![packet(1, 1)]), &mut sealed);
    sealed.extend(window.finish());
    assert!(sealed.iter().all(|batch| batch.connections.is_empty()));
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let nanos = prop_oneof![
        8 => 0..20 * SECOND,
        1 => Timestamp::MIN.as_nanos()..=Timestamp::MAX.as_nanos(),
        1 => Just(Timestamp::MAX.as_nanos()),
    ];
    (0_u32..40, nanos, any::<(bool, u32, u32, u16, bool)>()).prop_map(|(flow, nanos, varied)| {
        let (from_a, wire_bytes, payload_bytes, flags, has_ports) = varied;
        let mut packet = packet(flow, nanos);
        packet.key.has_ports = has_ports;
        Packet { from_a, wire_bytes, payload_bytes, tcp_flags: flags & 0xfff, ..packet }
    })
}

fn any_chunk() -> impl Strategy<Value = Chunk> {
    let counts = (
        prop::collection::vec((0_u16..50, 0_u64..50, 1_u64..9), 0..4),
        prop::collection::vec((1_i32..=7, 1_u64..9), 0..3),
        prop::collection::vec((1_i32..=6, 1_u64..9), 0..3),
    );
    (prop::collection::vec(any_packet(), 0..300), counts, 0_u8..20).prop_map(|(packets, counts, begins)| {
        let (no_ip, undecoded, lost) = counts;
        let mut chunk = chunk(packets);
        for (code, mac, frames) in no_ip {
            let kind = (LinkProtocol::ether_type(code), MacAddr::from_u64(mac).unwrap());
            chunk.counts.no_ip.insert(kind, FramesAndBytes { frames, wire_bytes: frames * 60 });
        }
        for (reason, frames) in undecoded {
            chunk.counts.undecoded.insert(UndecodedReason::try_from(reason).unwrap(), frames);
        }
        for (stage, packets) in lost {
            chunk.counts.lost.insert(LossStage::try_from(stage).unwrap(), packets);
        }
        chunk.begins = match begins {
            0 => Some(Input::File(v1::ReplaySource::default())),
            1 => Some(Input::Live),
            _ => None,
        };
        chunk
    })
}

fn sums(counts: impl Iterator<Item = (i32, u64)>) -> BTreeMap<i32, u64> {
    let mut sums = BTreeMap::new();
    for (key, count) in counts {
        *sums.entry(key).or_default() += count;
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(chunks in prop::collection::vec(any_chunk(), 0..12)) {
        let sealed = sealed_from(&chunks);
        for batch in &sealed {
            let _ = checked(batch);
        }
        let packets: Vec<Packet> = chunks.iter().flat_map(|chunk| chunk.packets.clone()).collect();
        prop_assert_eq!(sorted(packets_of(&sealed)), sorted(texts_of(&packets)));
        prop_assert_eq!(
            sums(sealed.iter().flat_map(|batch| &batch.undecoded).map(|count| (count.reason, count.frames))),
            sums(chunks.iter().flat_map(|chunk| &chunk.counts.undecoded).map(|(reason, n)| ((*reason).into(), *n)))
        );
        prop_assert_eq!(
            sums(sealed.iter().flat_map(|batch| &batch.lost).map(|count| (count.stage, count.packets))),
            sums(chunks.iter().flat_map(|chunk| &chunk.counts.lost).map(|(stage, n)| ((*stage).into(), *n)))
        );
        let no_ip: u64 = chunks.iter().flat_map(|chunk| chunk.counts.no_ip.values()).map(|counted| counted.frames).sum();
        prop_assert_eq!(sealed.iter().flat_map(|batch| &batch.no_ip).map(|count| count.frames).sum::<u64>(), no_ip);
    }

    #[test]
    fn packets_of_a_slice_keep_their_order(packets in prop::collection::vec(any_packet(), 1..500)) {
        let sealed = sealed_from(&[chunk(packets.clone())]);
        let first = &packets[0];
        let of_first: Vec<Packet> = packets
            .iter()
            .filter(|packet| packet.key == first.key && packet.captured_at.second() == first.captured_at.second())
            .copied()
            .collect();
        let expected = texts_of(&of_first);
        let found: Vec<String> = packets_of(&sealed).into_iter().filter(|text| expected.contains(text)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn nothing_is_lost_by_taking_back(chunks in prop::collection::vec(any_chunk(), 1..8)) {
        let (mut window, mut sealed, mut kept) = (live().0, Vec::new(), Vec::new());
        for chunk in &chunks {
            window.add(&Chunk { begins: None, ..chunk.clone() }, &mut sealed);
            sealed.extend(window.finish());
            for (index, batch) in sealed.drain(..).enumerate() {
                if index % 2 == 0 { window.take_back(batch, LossStage::UplinkQueue) } else { kept.push(batch) }
            }
        }
        kept.extend(window.finish());
        let frames: u64 = kept.iter().map(|batch| checked(batch).batch().frames).sum();
        let expected: u64 = chunks.iter().map(Chunk::frames).sum();
        prop_assert_eq!(frames, expected);
    }
}
