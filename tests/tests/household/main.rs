//! The household through the whole path: frames → collector → gRPC → analyzer →
//! ClickHouse → `iotq`. Every number is one that the scenario says has to come out.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

mod fields;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use iotq_tests::{
    answers::{addresses, count, groups, nanos, near, real, text},
    findings::Findings,
    scenario::{Expected, MINUTE_NS, Span, capture_of, household},
    system::{Analyzer, Setup, has_engine, replay},
};
use serde_json::Value;

use fields::FIELDS;

const COVERAGE: [&str; 7] =
    ["collectors_expected", "collectors_reporting", "frames", "lost_packets", "lost_by_stage", "undecoded", "gaps"];

/// One hour of the household that ended some seconds ago, stored.
struct House {
    analyzer: Analyzer,
    expected: Expected,
    /// `--since` and `--until` of exactly the hour.
    range: [String; 4],
}

impl House {
    fn new() -> Self {
        let until_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap() / 1_000_000_000 * 1_000_000_000;
        let scenario = household(Span { since_ns: until_ns - 60 * MINUTE_NS, until_ns }, 1);
        let names = Some(scenario.description.names_file());
        let analyzer = Analyzer::start(Setup { names, ..Setup::default() });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hour.pcap");
        std::fs::write(&file, capture_of(&scenario.frames)).unwrap();

        let done = replay(&analyzer.url(), &[&file], &["--name", "house"]);
        done.finished.assert_code(0);
        done.assert_balanced();
        assert_eq!(done.count("frames"), scenario.expected.frames);
        assert_eq!(done.count("stored_packets"), scenario.expected.packets);

        let time = |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).unwrap().to_string();
        let Span { since_ns, until_ns } = scenario.expected.span;
        let range = ["--since".into(), time(since_ns), "--until".into(), time(until_ns)];
        Self { analyzer, expected: scenario.expected, range }
    }

    fn rows<'a>(&'a self, question: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
        self.analyzer.rows(question.into_iter().chain(self.range.iter().map(String::as_str)))
    }
}

#[test]
fn what_the_owner_found_by_hand_is_what_iotq_answers() {
    if !has_engine() {
        return;
    }
    // One analyzer for all of it: starting one is what takes time.
    let house = House::new();
    every_answer_has_the_promised_fields(&house);
    top_talkers_are_right(&house);
    the_default_range_is_the_last_hour(&house);
    names_silence_and_beats_are_right(&house);
    devices_are_right(&house);
    conversations_are_right(&house);
    connections_of_robots_are_there(&house);
    destinations_are_right(&house);
    timeline_adds_up(&house);
    packets_are_all_there(&house);
    the_newest_are_shown(&house);
    selections_select(&house);
    status_is_right(&house);
    other_formats_hold_the_same(&house);
    answers_explain_themselves(&house);
    the_same_file_again_is_stored_again(&house);
    stopping_is_clean(house);
}

fn every_answer_has_the_promised_fields(house: &House) {
    for (question, fields) in FIELDS {
        let answer = house.analyzer.ask([question, "--since", "all"]);
        for part in ["since", "until", "coverage", "rows", "truncated"] {
            assert!(answer.get(part).is_some(), "{question} has no `{part}`");
        }
        for field in COVERAGE {
            assert!(answer["coverage"].get(field).is_some(), "the coverage of {question} has no `{field}`");
        }
        let rows = answer["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{question} has no rows");
        for row in rows {
            for field in fields {
                assert!(row.get(field).is_some(), "{question} has no `{field}`: {row}");
            }
        }
        assert_eq!(answer["truncated"], false);
        // All bounds neither side.
        assert_eq!((&answer["since"], &answer["until"]), (&Value::Null, &Value::Null), "{question}");
        assert_eq!(answer["coverage"]["frames"], house.expected.frames, "{question}");
        assert_eq!(answer["coverage"]["lost_packets"], 0, "{question}");
    }
}

fn top_talkers_are_right(house: &House) {
    let rows = house.rows(["top-talkers"]);
    let by_name: BTreeMap<_, _> = rows.iter().map(|row| (text(&row["name"]), row)).collect();
    let names: BTreeSet<_> = by_name.keys().copied().collect();
    let expected: BTreeSet<_> = house.expected.devices.keys().map(String::as_str).collect();
    assert_eq!(names, expected, "these devices, and no others");

    let all: u64 = rows.iter().map(|row| count(&row["packets"])).sum();
    for (name, device) in &house.expected.devices {
        let row = by_name[name.as_str()];
        assert_eq!(count(&row["packets"]), device.packets, "{row}");
        assert_eq!(count(&row["wire_bytes"]), device.wire_bytes, "{row}");
        assert_eq!(addresses(&row["ips"]), device.ips, "{row}");
        assert_eq!(groups(&row["group"]), device.groups.iter().map(String::as_str).collect(), "{row}");
        near(&row["awake_packets_per_minute"], device.awake_packets_per_minute().unwrap(), 1e-6);
        // The collector reported from the first frame to the last one: some seconds
        // less than the hour.
        let rate = device.packets_per_minute(60 * MINUTE_NS);
        near(&row["packets_per_minute"], rate, rate / 200.0);
        near(&row["share"], real(&row["packets"]) / f64::from(u32::try_from(all).unwrap()), 1e-6);
    }
    assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(count(&row["packets"]))), "the first talks most");

    // DESIGN, section 1, row by row.
    assert_eq!(rows[0]["name"], "Kindle");
    assert_eq!(rows[0]["packets"], 387);
    near(&rows[0]["awake_packets_per_minute"], 77.4, 0.001);
    assert_eq!(groups(&rows[0]["group"]), ["mobile"].into());
    let iot: Vec<_> = rows.iter().filter(|row| groups(&row["group"]).contains("iot")).collect();
    assert_eq!(iot.len(), 14);
    let rates: f64 = iot.iter().map(|row| real(&row["packets_per_minute"])).sum();
    assert!((rates / 14.0 - 2.4).abs() <= 0.1, "{} packets a minute a device", rates / 14.0);

    let by_rate = house.rows(["top-talkers", "--by", "rate"]);
    assert_eq!(by_rate[0]["name"], "Kindle");
    let by_bytes = house.rows(["top-talkers", "--by", "bytes"]);
    assert!(by_bytes.is_sorted_by_key(|row| std::cmp::Reverse(count(&row["wire_bytes"]))));
}

fn the_default_range_is_the_last_hour(house: &House) {
    let answer = house.analyzer.ask(["top-talkers"]);
    let since: jiff::Timestamp = text(&answer["since"]).parse().unwrap();
    let until: jiff::Timestamp = text(&answer["until"]).parse().unwrap();
    assert_eq!(until.duration_since(since), jiff::SignedDuration::from_hours(1));
    assert!(jiff::Timestamp::now().duration_since(until) < jiff::SignedDuration::from_mins(2));
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows[0]["name"], "Kindle");
    near(&rows[0]["awake_packets_per_minute"], 77.4, 0.001);
    let iot: Vec<_> = rows.iter().filter(|row| groups(&row["group"]).contains("iot")).collect();
    let rates: f64 = iot.iter().map(|row| real(&row["packets_per_minute"])).sum();
    assert!((rates / 14.0 - 2.4).abs() <= 0.1, "{} packets a minute a device", rates / 14.0);
}

/// With `--since` and `--until` round the hour.
fn names_silence_and_beats_are_right(house: &House) {
    let range: Vec<_> = house.range.iter().map(String::as_str).collect();
    let mut findings = Findings::new(&house.analyzer, &range);
    findings.check(&house.expected);
    findings.finish();
}

fn devices_are_right(house: &House) {
    let rows = house.rows(["devices"]);
    assert_eq!(rows.len(), house.expected.devices.len());
    for row in &rows {
        let name = text(&row["name"]);
        let device = &house.expected.devices[name];
        assert_eq!(row["name_source"], "user", "{row}");
        assert_eq!(row["local_only"], device.is_local_only(), "{row}");
        assert_eq!(count(&row["packets"]), device.packets, "{row}");
        if device.mac.identifies() {
            assert_eq!(row["mac"], device.mac.to_string(), "{row}");
        } else {
            assert_eq!(row["mac"], Value::Null, "behind the router's MAC is the Internet: {row}");
        }
        let vendor = row["vendor"].as_str().unwrap_or_default();
        let expected = match name.split(' ').next().unwrap() {
            "Plug" => "Meross",
            "Bulb" => "Lifi",
            "Roomba" => "iRobot",
            "Kindle" => "Amazon",
            _ => "",
        };
        assert!(vendor.contains(expected), "{row}");
        let (first_ns, last_ns) = device.seen_ns.unwrap();
        assert_eq!(nanos(&row["first_seen_at"]), first_ns, "{row}");
        assert_eq!(nanos(&row["last_seen_at"]), last_ns, "{row}");
    }
    let local: BTreeSet<_> =
        rows.iter().filter(|row| row["local_only"] == true).map(|row| text(&row["name"])).collect();
    assert_eq!(local.iter().filter(|name| name.starts_with("Bulb")).count(), 6, "bulbs stay at home: {local:?}");
    assert!(!local.iter().any(|name| name.starts_with("Plug") || name.starts_with("Roomba") || *name == "Kindle"));
}

fn conversations_are_right(house: &House) {
    let rows = house.rows(["conversations"]);
    let mut found = BTreeMap::new();
    for row in &rows {
        let pair: (IpAddr, IpAddr) = (text(&row["a_ip"]).parse().unwrap(), text(&row["b_ip"]).parse().unwrap());
        assert!(pair.0 < pair.1, "{row}");
        let sides = ["a_packets", "b_packets", "a_wire_bytes", "b_wire_bytes"].map(|field| count(&row[field]));
        assert_eq!(found.insert(pair, sides), None, "one row a pair: {row}");
    }
    let expected: BTreeMap<_, _> = house
        .expected
        .conversations
        .iter()
        .map(|(pair, it)| (*pair, [it.a_packets, it.b_packets, it.a_wire_bytes, it.b_wire_bytes]))
        .collect();
    assert_eq!(found, expected);
}

fn connections_of_robots_are_there(house: &House) {
    let rows = house.rows(["connections"]);
    for keepalive in &house.expected.keepalives {
        let peer = keepalive.peer_ip.to_string();
        let found: Vec<_> = rows.iter().filter(|row| row["resp_ip"] == *peer && row["resp_port"] == 443).collect();
        assert_eq!(found.len(), 1, "one connection of {}", keepalive.device);
        let [row] = found[..] else { unreachable!() };
        assert_eq!(row["protocol"], "tcp");
        // Three packets a beat, two of them the robot's.
        let beats = keepalive.beats_ns.len() as u64;
        assert!(count(&row["orig_packets"]) > 2 * beats, "{row}");
        assert!(count(&row["resp_packets"]) > beats, "{row}");
        assert!(count(&row["orig_packets"]) + count(&row["resp_packets"]) < 3 * beats + 20, "{row}");
    }
}

fn destinations_are_right(house: &House) {
    let rows = house.rows(["destinations", "--by", "ip"]);
    let mut found: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
    let names: BTreeMap<String, String> =
        house.rows(["devices"]).iter().map(|row| (text(&row["device"]).into(), text(&row["name"]).into())).collect();
    for row in &rows {
        let Ok(ip) = text(&row["destination"]).parse::<IpAddr>() else { panic!("no address: {row}") };
        let name = &names[text(&row["device"])];
        // Whether local peers are destinations too is not promised.
        if let IpAddr::V4(ip) = ip
            && !(ip.is_private() || ip.is_multicast() || ip.is_broadcast())
        {
            found.entry(name).or_default().insert(ip.into());
        }
    }
    for (name, device) in &house.expected.devices {
        let found = found.get(name.as_str()).cloned().unwrap_or_default();
        assert_eq!(found, device.outside_peers, "destinations of {name}");
    }
}

fn timeline_adds_up(house: &House) {
    let rows = house.rows(["timeline"]);
    assert!(rows.len() > 10, "a curve and not a dot");
    assert_eq!(rows.iter().map(|row| count(&row["packets"])).sum::<u64>(), house.expected.packets);
    assert_eq!(rows.iter().map(|row| count(&row["wire_bytes"])).sum::<u64>(), house.expected.packet_wire_bytes);
}

fn packets_are_all_there(house: &House) {
    let rows = house.rows(["packets"]);
    assert_eq!(rows.len() as u64, house.expected.packets);
    assert_eq!(rows.iter().map(|row| count(&row["wire_bytes"])).sum::<u64>(), house.expected.packet_wire_bytes);
    assert!(rows.is_sorted_by_key(|row| nanos(&row["captured_at"])), "in the order of time");
    assert!(rows.iter().all(|row| row["collector"] == "house"));
    // The beats of a robot: the packets with 31 octets that it sends.
    for keepalive in &house.expected.keepalives {
        let beats: Vec<_> = rows
            .iter()
            .filter(|row| row["dst_ip"] == keepalive.peer_ip.to_string() && row["payload_bytes"] == 31)
            .map(|row| nanos(&row["captured_at"]))
            .collect();
        let expected: Vec<_> = keepalive.beats_ns.iter().map(|at_ns| at_ns / 1000 * 1000).collect();
        assert_eq!(beats, expected, "beats of {}", keepalive.device);
    }
}

fn the_newest_are_shown(house: &House) {
    for question in ["connections", "dns", "tls", "packets"] {
        let (all, few) = (house.rows([question]), house.rows([question, "--limit", "5"]));
        assert!(all.len() > 5, "{question}");
        assert_eq!(few, all[all.len() - 5..], "{question}");
    }
    // Of what is open, those that are it longest.
    let (all, few) = (house.rows(["connections", "--open"]), house.rows(["connections", "--open", "--limit", "2"]));
    assert_eq!(few, all[..2]);
}

fn selections_select(house: &House) {
    let kindle = house.rows(["packets", "--device", "Kindle"]);
    assert_eq!(kindle.len(), 387);
    let by_mac = house.rows(["packets", "--device", "f0:f0:a4:a0:b0:c0"]);
    assert_eq!(by_mac, kindle);
    let by_ip = house.rows(["packets", "--device", "192.168.7.96"]);
    assert_eq!(by_ip, kindle);
    let iot: u64 = house.expected.group("iot").map(|(_, device)| device.packets).sum();
    let group = house.rows(["top-talkers", "--group", "iot"]);
    assert_eq!(group.len(), 14);
    assert_eq!(group.iter().map(|row| count(&row["packets"])).sum::<u64>(), iot);
    assert!(house.rows(["packets", "--device", "nobody"]).is_empty());
    assert!(house.rows(["packets", "--collector", "nobody"]).is_empty());
    let net = house.rows(["packets", "--net", "44.230.91.0/24"]);
    let syns: u64 = house.expected.unanswered.iter().map(|found| found.syns).sum();
    assert_eq!(net.len() as u64, syns, "the SYNs of the plugs");
    assert!(net.iter().all(|row| row["tcp_flags"] == 2 && row["dst_port"] == 443));
    let limited = house.analyzer.ask(["packets", "--since", "all", "--limit", "7"]);
    assert_eq!(limited["rows"].as_array().unwrap().len(), 7);
    assert_eq!(limited["truncated"], true);
    let before = house.analyzer.rows(["packets", "--since", "all", "--until", &house.range[1]]);
    assert!(before.is_empty(), "ranges are half-open");
}

fn status_is_right(house: &House) {
    let status = house.analyzer.status_of("house").unwrap();
    assert_eq!(count(&status["frames"]), house.expected.frames);
    assert_eq!(count(&status["stored_packets"]), house.expected.packets);
    assert_eq!(count(&status["no_ip"]), house.expected.no_ip.values().sum::<u64>());
    assert_eq!(count(&status["undecoded"]), 0);
    assert_eq!(status["connected"], false, "it has ended");
}

fn answers_explain_themselves(house: &House) {
    let explained = |words: &[&str]| {
        let finished = house.analyzer.try_ask(words.iter().copied().chain(["--explain"]));
        finished.assert_code(0);
        let lines = finished.stderr.lines().filter_map(|line| line.strip_prefix("explain: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // Days that are whole are read from their sums, and from nothing else; which hours were awake from those by hour.
    let lines = explained(&["top-talkers", "--since", "2026-01-01T00:00:00Z", "--until", "2026-01-03T00:00:00Z"]);
    for found in [
        "What endpoints exchanged with each other: traffic_day (2 days)",
        "In which hours endpoints had packets: endpoint_hour (48 hours)",
    ] {
        assert!(lines.iter().any(|line| line == found), "{lines:?}");
    }
    let lines = explained(&["top-talkers", "--since", "2026-01-01T00:00:00.5Z", "--until", "2026-01-01T00:02:00Z"]);
    let found = "What endpoints exchanged with each other: traffic_minute (1 minutes), slices (60 seconds)";
    assert!(lines.iter().any(|line| line == found), "{lines:?}");
    for (question, _) in FIELDS {
        assert!(!explained(&[question]).is_empty(), "{question}");
    }
    assert!(explained(&["diff", "--since", "1h"]).len() > explained(&["destinations"]).len());
}

fn other_formats_hold_the_same(house: &House) {
    for (question, _) in FIELDS {
        let rows = house.rows([question]);
        let ask = |format: &str| {
            let range = house.range.iter().map(String::as_str);
            let finished = house.analyzer.try_ask([question, "--format", format].into_iter().chain(range));
            finished.assert_code(0);
            finished.stdout
        };
        let lines: Vec<Value> = ask("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if question != "status" {
            assert_eq!(lines, rows, "{question}");
        }
        assert!(ask("csv").lines().count() > 1, "{question}");
        assert!(ask("table").lines().count() > 1, "{question}");
    }
    let lines = house.analyzer.try_ask(["packets", "--since", "all", "--device", "Kindle"]).stdout;
    assert_eq!(lines.lines().filter(|line| line.contains("Kindle")).count(), 20, "{lines}");
}

fn the_same_file_again_is_stored_again(house: &House) {
    let scenario = household(house.expected.span, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("again.pcap");
    std::fs::write(&file, capture_of(&scenario.frames)).unwrap();
    let done = replay(&house.analyzer.url(), &[&file], &["--name", "house"]);
    done.finished.assert_code(0);
    assert!(!done.finished.stderr.is_empty(), "it warns that the file was stored before");
    let status = house.analyzer.status_of("house").unwrap();
    assert_eq!(count(&status["frames"]), 2 * house.expected.frames);
}

fn stopping_is_clean(house: House) {
    let House { mut analyzer, .. } = house;
    assert!(analyzer.engine_id().is_some(), "ClickHouse runs as a child");
    analyzer.stop().assert_code(0);
    assert_eq!(analyzer.engine_id(), None, "and has ended with its parent");
}
