//! The small scenarios through the whole path, each with a collector of its own on one
//! analyzer: what is easily got wrong is right.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::collections::{BTreeMap, BTreeSet};

use iotq_tests::{
    answers::{addresses, count, near, rfc3339, text},
    findings::Findings,
    scenario::{Expected, Frame, MINUTE_NS, Scenario, Span, capture_of, cases},
    system::{Analyzer, Setup, has_engine, replay},
};
use serde_json::Value;

/// All of them in the same four hours, which are over.
struct Site {
    analyzer: Analyzer,
    span: Span,
    folder: tempfile::TempDir,
}

impl Site {
    fn replay(&self, collector: &str, frames: &[Frame]) {
        let file = self.folder.path().join(format!("{collector}.pcap"));
        std::fs::write(&file, capture_of(frames)).unwrap();
        let done = replay(&self.analyzer.url(), &[&file], &["--name", collector]);
        done.finished.assert_code(0);
        assert_eq!(done.count("frames"), frames.len() as u64, "{collector}");
    }

    fn findings(&self, collector: &str) -> Findings<'_> {
        let since = rfc3339(self.span.since_ns - 10 * MINUTE_NS);
        let until = rfc3339(self.span.until_ns + 10 * MINUTE_NS);
        Findings::new(&self.analyzer, &["--since", &since, "--until", &until, "--collector", collector])
    }

    /// Replays a scenario and compares all that is expected of it.
    fn check(&self, collector: &str, scenario: &Scenario) {
        self.replay(collector, &scenario.frames);
        let mut findings = self.findings(collector);
        findings.check(&scenario.expected);
        let packets: u64 = findings.rows(&["conversations"]).iter().map(sum_of_sides).sum();
        findings.that(packets == scenario.expected.packets, || format!("{packets} packets"));
        findings.finish();
    }
}

#[test]
fn what_is_easily_got_wrong_is_right() {
    if !has_engine() {
        return;
    }
    let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let span = Span { since_ns: now_ns - 250 * MINUTE_NS, until_ns: now_ns - 10 * MINUTE_NS };
    let (both, first, second) = cases::two_mirrors(span);
    let named = [
        cases::period_changes(span),
        cases::missed_beats(span),
        cases::calls_again(span),
        cases::clock_goes_back(span),
        cases::answered_to_another(span),
        cases::encrypted_dns(span),
        cases::named_late(span),
        cases::privacy_addresses(span),
        cases::behind_a_repeater(span),
        cases::address_changes(span),
        cases::one_way(span),
    ];
    let lines: BTreeSet<_> = named
        .iter()
        .chain([&both])
        .flat_map(|it| it.description.names_file().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let names: String = lines.into_iter().map(|line| line + "\n").collect();
    let analyzer = Analyzer::start(Setup { names: Some(names), ..Setup::default() });
    let site = Site { analyzer, span, folder: tempfile::tempdir().unwrap() };

    let [changes, missed, calls, clock, another, encrypted, late, privacy, repeater, moved, one_way] = &named;
    site.check("missed", missed);
    site.check("calls", calls);
    site.check("another", another);
    site.check("encrypted", encrypted);
    site.check("late", late);
    site.check("privacy", privacy);
    site.check("repeater", repeater);
    site.check("moved", moved);
    site.check("one-way", one_way);
    both_periods_are_found(&site, &changes.expected, &changes.frames);
    a_clock_put_back_leaves_the_period(&site, clock);
    late_names_are_in_all_answers(&site);
    devices_are_one_whatever_their_addresses(&site, &[("privacy", privacy), ("moved", moved), ("repeater", repeater)]);
    two_collectors_count_once(&site, &both.expected, (&first, &second));
}

fn both_periods_are_found(site: &Site, expected: &Expected, frames: &[Frame]) {
    site.replay("changes", frames);
    let Span { since_ns, until_ns } = expected.span;
    let middle_ns = since_ns + (until_ns - since_ns) / 2;
    for (from_ns, until_ns, period_secs) in [(since_ns, middle_ns, 30.0), (middle_ns, until_ns, 90.0)] {
        let range = ["--since", &rfc3339(from_ns), "--until", &rfc3339(until_ns), "--collector", "changes"];
        let rows = Findings::new(&site.analyzer, &range).rows(&["keepalives"]);
        assert_eq!(rows.len(), 1, "{rows:#?}");
        near(&rows[0]["period_secs"], period_secs, period_secs / 10.0);
    }
    // Over both halves there is the period of most beats; that of the others may have a row too.
    let rows = site.findings("changes").rows(&["keepalives"]);
    let mut periods: Vec<_> = rows.iter().map(|row| row["period_secs"].as_f64().unwrap()).collect();
    periods.sort_by(f64::total_cmp);
    assert!((27.0..=33.0).contains(&periods[0]), "{rows:#?}");
    assert!(periods[1..].iter().all(|period| (81.0..=99.0).contains(period)) && periods.len() <= 2, "{rows:#?}");
}

fn a_clock_put_back_leaves_the_period(site: &Site, scenario: &Scenario) {
    site.replay("clock", &scenario.frames);
    let findings = site.findings("clock");
    let rows = findings.rows(&["keepalives"]);
    assert!(!rows.is_empty(), "no keepalive");
    // Seven minutes of 240 have twice the beats; the median does not mind.
    let best = rows.iter().max_by_key(|row| count(&row["beats"])).unwrap();
    near(&best["period_secs"], 40.0, 4.0);
    assert!(count(&best["beats"]) >= 170, "{rows:#?}");
    let packets: u64 = findings.rows(&["conversations"]).iter().map(sum_of_sides).sum();
    assert_eq!(packets, scenario.expected.packets, "none is lost");
}

fn late_names_are_in_all_answers(site: &Site) {
    let findings = site.findings("late");
    let named = |question: &[&str], field: &str, peer: &str| {
        let rows: Vec<_> =
            findings.rows(question).into_iter().filter(|row| row.to_string().contains("203.0.113.35")).collect();
        assert!(!rows.is_empty(), "{question:?}");
        assert!(rows.iter().all(|row| row[field] == peer), "{question:?}: {}", rows[0]);
    };
    named(&["connections"], "peer_name", "locks.example.com");
    named(&["packets", "--net", "203.0.113.35/32"], "peer_name", "locks.example.com");
    named(&["keepalives"], "peer_name", "locks.example.com");
    named(&["destinations"], "destination", "locks.example.com");
}

fn devices_are_one_whatever_their_addresses(site: &Site, scenarios: &[(&str, &Scenario)]) {
    for (collector, scenario) in scenarios {
        let rows = site.findings(collector).rows(&["devices"]);
        let [device] = &scenario.description.devices[..] else { panic!("one device") };
        let found: Vec<_> = rows.iter().filter(|row| row["name"] == device.name).collect();
        assert_eq!(found.len(), 1, "{rows:#?}");
        let expected = &scenario.expected.devices[&device.name];
        assert_eq!(addresses(&found[0]["ips"]), expected.ips, "{}", found[0]);
        assert_eq!(count(&found[0]["packets"]), expected.packets, "{}", found[0]);
    }
}

/// One packet seen by two collectors counts once, and is shown as seen by both.
fn two_collectors_count_once(site: &Site, expected: &Expected, (first, second): (&[Frame], &[Frame])) {
    site.replay("first", first);
    site.replay("second", second);
    let ask = |collectors: &[&str], question: &[&str]| {
        let since = rfc3339(site.span.since_ns);
        let until = rfc3339(site.span.until_ns);
        let mut flags = vec!["--since", &since, "--until", &until];
        collectors.iter().for_each(|collector| flags.extend(["--collector", collector]));
        Findings::new(&site.analyzer, &flags).rows(question)
    };
    let packets_of = |rows: &[Value], name: &str| {
        rows.iter().filter(|row| row["name"] == name).map(|row| count(&row["packets"])).sum::<u64>()
    };
    // Without `--collector`: these two devices were seen by nobody else.
    let all = ask(&[], &["top-talkers", "--device", "00:00:5e:00:53:34", "--device", "00:00:5e:00:53:35"]);
    assert_eq!(packets_of(&all, "Robot"), expected.devices["Robot"].packets.min(first.len() as u64), "{all:#?}");
    assert_eq!(packets_of(&all, "Television"), expected.devices["Television"].packets, "{all:#?}");

    let robot = all.iter().find(|row| row["name"] == "Robot").unwrap();
    let others: Vec<_> = robot["also_seen_by"].as_array().unwrap().iter().map(text).collect();
    assert!(!others.is_empty() && others.iter().all(|other| ["first", "second"].contains(other)), "{robot}");
    let rows = ask(&["first"], &["top-talkers"]);
    assert!(rows.iter().all(|row| row["also_seen_by"].as_array().unwrap().is_empty()), "{rows:#?}");

    let rows = ask(&[], &["packets", "--device", "00:00:5e:00:53:34"]);
    assert_eq!(rows.len(), first.len(), "once each");
    for row in &rows {
        let mut seen_by: Vec<_> = row["also_seen_by"].as_array().unwrap().iter().map(text).collect();
        seen_by.push(text(&row["collector"]));
        seen_by.sort_unstable();
        assert_eq!(seen_by, ["first", "second"], "{row}");
    }
    for (collector, frames) in [("first", first), ("second", second)] {
        let rows = ask(&[collector], &["packets"]);
        assert_eq!(rows.len(), frames.len(), "{collector} saw these");
        assert!(rows.iter().all(|row| row["collector"] == collector));
    }
    let beats = ask(&[], &["keepalives", "--device", "00:00:5e:00:53:34"]);
    assert_eq!(beats.len(), 1, "{beats:#?}");
    let sent = expected.keepalives.iter().find(|it| it.device == "Robot").unwrap().beats_ns.len() as u64;
    assert!((sent * 8 / 10..=sent + 1).contains(&count(&beats[0]["beats"])), "{sent} beats: {}", beats[0]);
    let states: BTreeMap<_, _> = ask(&[], &["connections", "--device", "00:00:5e:00:53:34"])
        .iter()
        .map(|row| (text(&row["resp_ip"]).to_owned(), count(&row["orig_packets"]) + count(&row["resp_packets"])))
        .collect();
    assert_eq!(states.values().sum::<u64>(), first.len() as u64, "one connection: {states:?}");
}

fn sum_of_sides(row: &Value) -> u64 {
    count(&row["a_packets"]) + count(&row["b_packets"])
}
