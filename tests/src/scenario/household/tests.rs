//! The household's numbers, read off its frames by other means than those that
//! wrote them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use iotq_proto::MacAddr;

use super::*;
use crate::{
    scenario::{Frame, Sides},
    traffic::tests::assert_sound,
};

/// An end that is no whole minute.
const END_NS: i64 = 1_790_000_007_123_456_000;

fn hour() -> Span {
    Span { since_ns: END_NS - 60 * MINUTE_NS, until_ns: END_NS }
}

/// An IP packet as etherparse reads it.
struct Seen {
    at_ns: i64,
    wire_bytes: u64,
    src_mac: MacAddr,
    dst_mac: MacAddr,
    src_ip: IpAddr,
    dst_ip: IpAddr,
    ports: Option<(u16, u16)>,
    tcp: Option<(u32, bool, bool, bool)>,
}

fn read(frame: &Frame) -> Option<Seen> {
    let sliced = SlicedPacket::from_ethernet(&frame.octets).unwrap();
    let (src_ip, dst_ip) = match sliced.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let (ports, tcp) = match sliced.transport {
        Some(TransportSlice::Udp(udp)) => (Some((udp.source_port(), udp.destination_port())), None),
        Some(TransportSlice::Tcp(tcp)) => (
            Some((tcp.source_port(), tcp.destination_port())),
            Some((tcp.sequence_number(), tcp.syn(), tcp.ack(), tcp.fin() || tcp.rst())),
        ),
        _ => (None, None),
    };
    let mac = |at: usize| MacAddr::from_octets(frame.octets[at..at + 6].try_into().unwrap());
    Some(Seen {
        at_ns: frame.at_ns,
        wire_bytes: frame.octets.len() as u64,
        src_mac: mac(6),
        dst_mac: mac(0),
        src_ip,
        dst_ip,
        ports,
        tcp,
    })
}

fn seen(scenario: &Scenario) -> Vec<Seen> {
    scenario.frames.iter().filter_map(read).collect()
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
    }
}

/// Packets by the MAC of the device they count for, which the router's is not.
fn by_mac(packets: &[Seen]) -> BTreeMap<MacAddr, Vec<&Seen>> {
    let router = router().mac;
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for packet in packets {
        for mac in [packet.src_mac, packet.dst_mac] {
            if mac != router && mac.identifies() {
                found.entry(mac).or_default().push(packet);
            }
        }
    }
    found
}

#[test]
fn every_frame_is_sound_and_in_order() {
    let scenario = household(hour(), 1);
    assert!(scenario.frames.is_sorted_by_key(|frame| frame.at_ns));
    for frame in &scenario.frames {
        assert_sound(&frame.octets);
        assert!(hour().contains(frame.at_ns));
        assert_eq!(frame.at_ns % 1000, 0);
    }
}

#[test]
fn a_seed_gives_the_same_frames_and_another_one_others() {
    assert_eq!(household(hour(), 1).frames, household(hour(), 1).frames);
    assert_ne!(household(hour(), 1).frames, household(hour(), 2).frames);
}

#[test]
fn fourteen_devices_send_and_get_2_4_packets_a_minute_each() {
    for seed in 1..=20 {
        let scenario = household(hour(), seed);
        let packets = seen(&scenario);
        let found = by_mac(&packets);
        let iot: Vec<_> =
            scenario.description.devices.iter().filter(|device| device.groups.contains(&"iot".to_owned())).collect();
        assert_eq!(iot.len(), 14);
        let mut all = 0;
        for device in iot {
            let packets = found[&device.mac].len();
            all += packets;
            let rate = f64::from(u32::try_from(packets).unwrap()) / 60.0;
            assert!((2.3..=2.5).contains(&rate), "seed {seed}: {} has {rate}", device.name);
        }
        let mean = f64::from(u32::try_from(all).unwrap()) / 14.0 / 60.0;
        assert!((2.35..=2.45).contains(&mean), "seed {seed}: {all} packets, {mean} a minute a device");
        assert!((1950..=2060).contains(&all), "seed {seed}: {all} packets");
    }
}

#[test]
fn the_kindle_has_387_packets_in_five_clock_minutes() {
    for seed in 1..=20 {
        let scenario = household(hour(), seed);
        let packets = seen(&scenario);
        let found = &by_mac(&packets)[&kindle().mac];
        assert_eq!(found.len(), 387);
        let minutes: BTreeSet<_> = found.iter().map(|packet| packet.at_ns / MINUTE_NS).collect();
        assert_eq!(minutes.len(), 5);
        assert_eq!(minutes.last().unwrap() - minutes.first().unwrap(), 4);
        let first = minutes.first().unwrap() * MINUTE_NS;
        assert!(found.iter().map(|packet| packet.at_ns).min().unwrap() - first < SECOND_NS);
        let rate = scenario.expected.devices["Kindle"].awake_packets_per_minute().unwrap();
        assert!((rate - 77.4).abs() < 1e-9);
    }
}

#[test]
fn bulbs_never_leave_the_house_and_the_others_do() {
    let scenario = household(hour(), 1);
    let packets = seen(&scenario);
    let found = by_mac(&packets);
    for device in &scenario.description.devices {
        let stays = found[&device.mac].iter().all(|packet| is_local(packet.src_ip) && is_local(packet.dst_ip));
        assert_eq!(stays, device.name.starts_with("Bulb"), "{}", device.name);
        assert_eq!(scenario.expected.devices[&device.name].is_local_only(), stays, "{}", device.name);
    }
    for packet in &packets {
        for (mac, ip) in [(packet.src_mac, packet.src_ip), (packet.dst_mac, packet.dst_ip)] {
            assert!(is_local(ip) || mac == router().mac, "{ip} is behind {mac}");
        }
    }
}

#[test]
fn nobody_answers_the_plugs() {
    let scenario = household(hour(), 1);
    let packets = seen(&scenario);
    let plugs: BTreeSet<_> =
        scenario.description.devices.iter().filter(|device| device.name.starts_with("Plug")).map(|d| d.mac).collect();
    let mut attempts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for packet in packets.iter().filter(|packet| packet.tcp.is_some()) {
        assert!(!plugs.contains(&packet.dst_mac), "an answer at {}", packet.at_ns);
        if plugs.contains(&packet.src_mac) {
            let (seq, syn, ack, _) = packet.tcp.unwrap();
            assert!(syn && !ack);
            attempts.entry((packet.src_ip, packet.ports, seq)).or_default().push(packet.at_ns);
        }
    }
    for at_ns in attempts.values() {
        let gaps: Vec<_> = at_ns.iter().map(|at| (at - at_ns[0]) / SECOND_NS).collect();
        assert_eq!(gaps, [0, 1, 3, 7]);
    }
    assert_eq!(attempts.len(), scenario.expected.unanswered.iter().map(|found| found.started_ns.len()).sum::<usize>());
    assert_eq!(attempts.len() as u64 * 4, scenario.expected.unanswered.iter().map(|found| found.syns).sum::<u64>());
    assert_eq!(scenario.expected.unanswered.len(), 8);
    assert!(scenario.expected.unanswered.iter().all(|found| (9..=10).contains(&found.started_ns.len())));
}

#[test]
fn robots_keep_one_connection_open_with_a_beat_each_45_to_60_seconds() {
    let scenario = household(hour(), 1);
    let packets = seen(&scenario);
    let found = by_mac(&packets);
    assert_eq!(scenario.expected.keepalives.len(), 3);
    for keepalive in &scenario.expected.keepalives {
        let device = scenario.description.devices.iter().find(|device| device.name == keepalive.device).unwrap();
        let tcp: Vec<_> = found[&device.mac].iter().filter(|packet| packet.tcp.is_some()).collect();
        assert_eq!(tcp.iter().filter(|packet| packet.tcp.unwrap().1).count(), 2, "one SYN, one SYN-ACK");
        assert!(!tcp.iter().any(|packet| packet.tcp.unwrap().3), "it stays open");
        assert!(tcp[0].at_ns - hour().since_ns < 60 * SECOND_NS, "it is opened at the start");
        // What begins after a pause is a beat.
        let beats: Vec<_> = tcp.windows(2).filter(|two| two[1].at_ns - two[0].at_ns > 10 * SECOND_NS).collect();
        assert_eq!(beats.len(), keepalive.beats_ns.len());
        assert!(beats.iter().all(|two| (44..=60).contains(&((two[1].at_ns - two[0].at_ns) / SECOND_NS))));
        assert!((45..=60).contains(&(keepalive.period_ns / SECOND_NS)));
        assert_eq!(tcp.iter().filter(|p| p.at_ns > beats[0][0].at_ns).count(), 3 * beats.len());
        assert_eq!(found[&device.mac].iter().filter(|p| p.src_ip.is_ipv6()).count(), 3);
    }
}

#[test]
fn what_is_expected_is_what_the_frames_show() {
    let scenario = household(hour(), 3);
    let (expected, packets) = (&scenario.expected, seen(&scenario));
    let found = by_mac(&packets);
    assert_eq!(expected.frames, scenario.frames.len() as u64);
    assert_eq!(expected.packets, packets.len() as u64);
    assert_eq!(expected.frames - expected.packets, expected.no_ip.values().sum::<u64>());
    assert_eq!(expected.packet_wire_bytes, packets.iter().map(|packet| packet.wire_bytes).sum::<u64>());
    for device in &scenario.description.devices {
        let (expected, found) = (&expected.devices[&device.name], &found[&device.mac]);
        assert_eq!(expected.packets, found.len() as u64, "{}", device.name);
        assert_eq!(expected.wire_bytes, found.iter().map(|packet| packet.wire_bytes).sum::<u64>(), "{}", device.name);
        let minutes: BTreeSet<_> = found.iter().map(|packet| packet.at_ns / MINUTE_NS).collect();
        assert_eq!(expected.awake_minutes, minutes, "{}", device.name);
    }
    let router_ip = IpAddr::from(router().ip);
    let of_router = packets.iter().filter(|packet| packet.src_ip == router_ip || packet.dst_ip == router_ip).count();
    assert_eq!(expected.devices["Router"].packets, of_router as u64);
    let mut conversations: BTreeMap<_, Sides> = BTreeMap::new();
    for packet in &packets {
        let pair = (packet.src_ip.min(packet.dst_ip), packet.src_ip.max(packet.dst_ip));
        let sides = conversations.entry(pair).or_default();
        if packet.src_ip == pair.0 {
            sides.a_packets += 1;
            sides.a_wire_bytes += packet.wire_bytes;
        } else {
            sides.b_packets += 1;
            sides.b_wire_bytes += packet.wire_bytes;
        }
    }
    assert_eq!(expected.conversations, conversations);
}

#[test]
fn the_kindle_talks_most() {
    for seed in 1..=20 {
        let expected = household(hour(), seed).expected;
        let rest = expected.devices.iter().filter(|(name, _)| *name != "Kindle").map(|(_, device)| device.packets);
        assert!(rest.max().unwrap() + 50 < expected.devices["Kindle"].packets);
    }
}

#[test]
fn a_day_has_as_much_of_it_each_hour() {
    let span = Span { since_ns: END_NS - 24 * 60 * MINUTE_NS, until_ns: END_NS };
    let expected = household(span, 1).expected;
    for (name, device) in expected.group("iot") {
        let rate = device.packets_per_minute(span.duration_ns());
        assert!((2.3..=2.5).contains(&rate), "{name} has {rate}");
    }
    assert_eq!(expected.devices["Kindle"].packets, 387);
}

#[test]
fn the_names_file_names_everybody() {
    let text = household(hour(), 1).description.names_file();
    assert_eq!(text.lines().count(), 1 + 18 + 1);
    assert!(text.contains("f0:f0:a4:a0:b0:c0, Kindle, mobile\n"));
    assert!(text.contains("d0:73:d5:40:50:60, Bulb porch, iot;light\n"));
    assert!(text.contains("192.168.7.1, Router"));
}
