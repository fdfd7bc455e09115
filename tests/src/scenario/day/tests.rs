use std::{collections::BTreeSet, net::IpAddr};

use super::*;
use crate::{
    scenario::{ExpectedDevice, KeepaliveKind, NameSource, SelfNamed},
    traffic::tests::assert_sound,
};

const END_NS: i64 = 1_790_000_007_123_456_000;

fn whole_day() -> Scenario {
    day(Span { since_ns: END_NS - 24 * 60 * MINUTE_NS, until_ns: END_NS }, 1)
}

#[test]
fn a_day_is_sound_and_of_a_size_that_can_be_tested_with() {
    let scenario = whole_day();
    assert!((60_000..200_000).contains(&scenario.frames.len()), "{} frames", scenario.frames.len());
    for frame in scenario.frames.iter().step_by(7) {
        assert_sound(&frame.octets);
    }
    assert!(scenario.expected.devices.values().all(ExpectedDevice::was_seen));
}

#[test]
fn a_day_has_what_the_owner_found_and_little_else() {
    let expected = whole_day().expected;
    let unanswered: Vec<_> = expected.unanswered.iter().map(|it| it.device.as_str()).collect();
    assert_eq!(unanswered.iter().filter(|device| device.starts_with("Plug")).count(), 8);
    assert_eq!(unanswered.len(), 9, "and one of the laptop: {unanswered:?}");
    for attempts in expected.unanswered.iter().filter(|it| it.asked_dns) {
        assert!((235..=240).contains(&attempts.started_ns.len()), "{}", attempts.started_ns.len());
        let median = attempts.median_interval_secs().unwrap();
        assert!((355.0..365.0).contains(&median), "{median}");
    }
    let keepalives: Vec<_> = expected.keepalives.iter().map(|it| (it.device.as_str(), it.kind)).collect();
    assert_eq!(keepalives.len(), 3);
    assert!(
        keepalives
            .iter()
            .all(|(device, kind)| device.starts_with("Roomba") && *kind == KeepaliveKind::WithinConnection)
    );
    assert_eq!(expected.refused.len(), 1);
    assert_eq!(expected.lone_datagrams.len(), 1);
    assert_eq!(expected.time_servers.len(), 9);
}

#[test]
fn names_come_from_where_they_are_said() {
    let expected = whole_day().expected;
    assert_eq!(expected.self_names["annas-laptop"].1, SelfNamed::Dhcp);
    assert_eq!(expected.self_names["BRW30055C0A0B0C"].1, SelfNamed::Mdns);
    let sources: BTreeSet<_> = expected.peer_names.values().map(|name| name.source).collect();
    assert_eq!(sources, [NameSource::Sni, NameSource::Dns].into());
    let plug = &expected.peer_names[&("Plug hall".to_owned(), "44.230.91.17".parse().unwrap())];
    assert_eq!((plug.name.as_str(), plug.source), ("mqtt-us-2.meross.com", NameSource::Dns));
}

#[test]
fn the_laptop_has_three_addresses_outside_its_link() {
    let scenario = whole_day();
    let laptop = &scenario.expected.devices["annas-laptop"];
    assert_eq!(laptop.ips.len(), 3, "{:?}", laptop.ips);
    assert!(laptop.outside_peers.iter().any(IpAddr::is_ipv6));
    assert!(laptop.packets > 3_000, "{}", laptop.packets);
}
