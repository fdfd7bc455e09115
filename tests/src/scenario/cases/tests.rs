use std::net::IpAddr;

use super::*;
use crate::{
    scenario::{MINUTE_NS, NameSource, SECOND_NS},
    traffic::tests::assert_sound,
};

const SPAN: Span = Span { since_ns: 1_790_000_000_000_000_000, until_ns: 1_790_000_000_000_000_000 + 240 * MINUTE_NS };

#[test]
fn all_of_them_are_sound_and_have_a_point() {
    let (both, first, second) = two_mirrors(SPAN);
    assert!(
        first.len() < both.frames.len() && second.len() == both.frames.len(),
        "each frame is the robot's or the television's"
    );
    for scenario in [
        period_changes(SPAN),
        missed_beats(SPAN),
        calls_again(SPAN),
        clock_goes_back(SPAN),
        answered_to_another(SPAN),
        encrypted_dns(SPAN),
        named_late(SPAN),
        privacy_addresses(SPAN),
        behind_a_repeater(SPAN),
        address_changes(SPAN),
        one_way(SPAN),
        both,
    ] {
        assert!(!scenario.frames.is_empty());
        assert_eq!(scenario.expected.frames, scenario.frames.len() as u64);
        scenario.frames.iter().for_each(|frame| assert_sound(&frame.octets));
        for keepalive in &scenario.expected.keepalives {
            assert!(keepalive.beats_ns.len() > 20, "{}: {}", keepalive.device, keepalive.beats_ns.len());
        }
    }
}

#[test]
fn the_clock_goes_back_once() {
    let scenario = clock_goes_back(SPAN);
    let back: Vec<_> = scenario.frames.windows(2).filter(|two| two[1].at_ns < two[0].at_ns).collect();
    assert_eq!(back.len(), 1);
    assert!(back[0][0].at_ns - back[0][1].at_ns > 6 * MINUTE_NS);
}

#[test]
fn most_beats_are_of_the_first_period() {
    let expected = period_changes(SPAN).expected;
    let [keepalive] = &expected.keepalives[..] else { panic!() };
    let gaps: Vec<_> = keepalive.beats_ns.windows(2).map(|two| (two[1] - two[0]) / SECOND_NS).collect();
    assert!(gaps.iter().filter(|gap| **gap == 30).count() > 2 * gaps.iter().filter(|gap| **gap == 90).count());
}

#[test]
fn names_are_known_by_what_each_scenario_is_about() {
    let source = |scenario: Scenario, device: &str, last: u8| {
        let ip = IpAddr::from([203, 0, 113, last]);
        scenario.expected.peer_names[&(device.to_owned(), ip)].clone()
    };
    let name = source(answered_to_another(SPAN), "Sensor", 30);
    assert_eq!((name.name.as_str(), name.source), ("broker.example.com", NameSource::DnsOfAnother));
    let scenario = encrypted_dns(SPAN);
    assert!(scenario.expected.questions.is_empty());
    assert_eq!(source(scenario, "Tablet", 33).source, NameSource::Sni);
    assert_eq!(source(named_late(SPAN), "Lock", 35).source, NameSource::Dns);
}

#[test]
fn one_way_shows_nothing_of_the_router() {
    let scenario = one_way(SPAN);
    let router = crate::traffic::mac_octets(scenario.description.router.mac);
    assert!(scenario.frames.iter().all(|frame| frame.octets[6..12] != router));
    let [attempts] = &scenario.expected.unanswered[..] else { panic!() };
    assert_eq!((attempts.started_ns.len(), attempts.syns), (3, 12));
}

#[test]
fn devices_have_the_addresses_that_were_given_to_them() {
    let ips = |scenario: Scenario, device: &str| scenario.expected.devices[device].ips.len();
    assert_eq!(ips(privacy_addresses(SPAN), "Laptop"), 12);
    assert_eq!(ips(behind_a_repeater(SPAN), "Repeater"), 2);
    assert_eq!(ips(address_changes(SPAN), "Doorbell"), 2);
}
