//! A day of the household and its people through the whole path: what iotq finds in it
//! by itself is what the owner of such a house found by hand (DESIGN, section 1), and
//! nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::collections::BTreeMap;

use iotq_tests::{
    answers::{count, nanos, near, rfc3339, text},
    findings::Findings,
    scenario::{Expected, MINUTE_NS, SECOND_NS, Scenario, Span, capture_of, day},
    system::{Analyzer, Setup, has_engine, replay},
};

struct Day {
    analyzer: Analyzer,
    expected: Expected,
    /// `--since` and `--until` round all of it.
    range: [String; 4],
}

impl Day {
    fn findings(&self) -> Findings<'_> {
        let range: Vec<_> = self.range.iter().map(String::as_str).collect();
        Findings::new(&self.analyzer, &range)
    }
}

#[test]
fn a_day_is_understood() {
    if !has_engine() {
        return;
    }
    let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let span = Span { since_ns: now_ns - 24 * 60 * MINUTE_NS, until_ns: now_ns };
    let scenario = day(span, 1);
    let house = replayed(&scenario);

    let mut findings = house.findings();
    findings.check(&scenario.expected);
    findings.finish();

    devices_are_those_that_were_there(&house);
    robots_hold_a_door_open(&house);
    a_part_of_the_day_is_answered_by_itself(&house);
    first_seen_is_when_it_was_seen_first(&house);
    who_stays_at_home_does(&house);
    usual_is_the_median_of_the_hours_before(&house);
}

fn replayed(scenario: &Scenario) -> Day {
    let analyzer = Analyzer::start(Setup { names: Some(scenario.description.names_file()), ..Setup::default() });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("day.pcap");
    std::fs::write(&file, capture_of(&scenario.frames)).unwrap();
    let done = replay(&analyzer.url(), &[&file], &["--name", "house"]);
    done.finished.assert_code(0);
    done.assert_balanced();
    assert_eq!(done.count("frames"), scenario.expected.frames);
    assert_eq!(done.count("stored_packets"), scenario.expected.packets);
    let Span { since_ns, until_ns } = scenario.expected.span;
    let range = ["--since".into(), rfc3339(since_ns), "--until".into(), rfc3339(until_ns)];
    Day { analyzer, expected: scenario.expected.clone(), range }
}

fn devices_are_those_that_were_there(house: &Day) {
    let rows = house.findings().rows(&["top-talkers"]);
    let found: BTreeMap<_, _> = rows.iter().map(|row| (text(&row["name"]), count(&row["packets"]))).collect();
    let expected: BTreeMap<_, _> =
        house.expected.devices.iter().map(|(name, device)| (name.as_str(), device.packets)).collect();
    assert_eq!(found, expected);
}

/// Connections that are open now are an answer of their own.
fn robots_hold_a_door_open(house: &Day) {
    let rows = house.findings().rows(&["connections", "--open", "--longer-than", "1h"]);
    let mut robots: Vec<_> =
        rows.iter().filter(|row| row["resp_port"] == 443).map(|row| text(&row["resp_ip"])).collect();
    robots.sort_unstable();
    assert_eq!(robots, ["52.5.173.20", "52.5.173.21", "52.5.173.22"], "{rows:#?}");
    for row in rows.iter().filter(|row| row["resp_port"] == 443) {
        assert_eq!(row["state"], "S1", "established, not ended: {row}");
        assert_eq!(row["peer_name"], "a2uowfjvhio0fa.iot.us-east-1.amazonaws.com", "{row}");
        assert_eq!(row["name_source"], "sni", "{row}");
        assert!(row["ended_at"].is_null(), "{row}");
    }
    // The one that was cut off had a connection before.
    let reset = house.findings().rows(&["connections", "--state", "RSTR", "--device", "Roomba basement"]);
    assert_eq!(reset.len(), 1, "{reset:#?}");
    assert!(!reset[0]["ended_at"].is_null());
}

/// The hours before noon hold their share of beats and attempts, with the same period.
fn a_part_of_the_day_is_answered_by_itself(house: &Day) {
    let Span { since_ns, .. } = house.expected.span;
    let (from_ns, until_ns) = (since_ns + 6 * 60 * MINUTE_NS, since_ns + 12 * 60 * MINUTE_NS);
    let range = ["--since", &rfc3339(from_ns), "--until", &rfc3339(until_ns)];
    let findings = Findings::new(&house.analyzer, &range);
    let keepalives = findings.rows(&["keepalives"]);
    assert_eq!(keepalives.len(), 3, "{keepalives:#?}");
    for keepalive in &house.expected.keepalives {
        let row = keepalives.iter().find(|row| row["name"] == keepalive.device).unwrap();
        let period_secs = std::time::Duration::from_nanos(keepalive.period_ns.unsigned_abs()).as_secs_f64();
        near(&row["period_secs"], period_secs, period_secs / 10.0);
        let inside = keepalive.beats_ns.iter().filter(|at_ns| (from_ns..until_ns).contains(at_ns)).count() as u64;
        let beats = count(&row["beats"]);
        assert!((inside * 8 / 10..=inside * 12 / 10).contains(&beats), "{inside} beats: {row}");
    }
    let unanswered = findings.rows(&["unanswered", "--device", "Plug hall"]);
    let attempts = house.expected.unanswered.iter().find(|it| it.device == "Plug hall").unwrap();
    let inside = attempts.started_ns.iter().filter(|at_ns| (from_ns..until_ns).contains(at_ns)).count();
    assert_eq!(unanswered.len(), 1);
    assert_eq!(unanswered[0]["attempts"], inside, "{}", unanswered[0]);
}

/// Of clock hours in which the device had packets; three at least.
fn usual_is_the_median_of_the_hours_before(house: &Day) {
    let hour_ns = 60 * MINUTE_NS;
    let Span { since_ns, until_ns } = house.expected.span;
    let from_ns = until_ns - until_ns % hour_ns - hour_ns;
    let begin = rfc3339(since_ns - since_ns % hour_ns);
    let before = Findings::new(&house.analyzer, &["--since", &begin, "--until", &rfc3339(from_ns)]);
    let mut hours = BTreeMap::<String, Vec<u64>>::new();
    for point in before.rows(&["timeline", "--by", "device", "--step", "1h"]) {
        hours.entry(text(&point["name"]).to_owned()).or_default().push(count(&point["packets"]));
    }
    let range = ["--since", &rfc3339(from_ns), "--until", &rfc3339(until_ns)];
    let rows = Findings::new(&house.analyzer, &range).rows(&["top-talkers"]);
    let mut compared = 0;
    for row in &rows {
        let mut hours = hours.remove(text(&row["name"])).unwrap_or_default();
        hours.retain(|packets| *packets > 0);
        hours.sort_unstable();
        if hours.len() < 3 {
            assert!(row["usual_packets_per_minute"].is_null(), "{row}");
            continue;
        }
        let middle = [(hours.len() - 1) / 2, hours.len() / 2].map(|at| hours[at]);
        near(&row["usual_packets_per_minute"], f64::midpoint(middle[0] as f64, middle[1] as f64) / 60.0, 1e-9);
        compared += 1;
    }
    assert!(compared > 10, "{rows:#?}");
}

fn first_seen_is_when_it_was_seen_first(house: &Day) {
    let rows = house.findings().rows(&["first-seen", "--device", "Kindle"]);
    let names: Vec<_> = rows.iter().map(|row| text(&row["destination"])).collect();
    for name in
        ["device-metrics-us.amazon.com", "todo-ta-g7g.amazon.com", "cde-ta-g7g.amazon.com", "ntp-g7g.amazon.com"]
    {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
    let (first_ns, last_ns) = house.expected.devices["Kindle"].seen_ns.unwrap();
    for row in &rows {
        let at_ns = nanos(&row["first_seen_at"]);
        assert!((first_ns..=last_ns).contains(&at_ns), "{row}");
        assert!(at_ns < first_ns + 30 * SECOND_NS, "it calls everybody as soon as it is awake: {row}");
    }
}

fn who_stays_at_home_does(house: &Day) {
    for row in house.findings().rows(&["devices"]) {
        let device = &house.expected.devices[text(&row["name"])];
        assert_eq!(row["local_only"], device.is_local_only(), "{row}");
        if device.mac.identifies() {
            assert_eq!(row["mac"], device.mac.to_string(), "{row}");
        }
    }
}
