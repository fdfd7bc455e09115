//! An analyzer that has been running for a while: asked about the outside, told
//! new names, stopped while somebody watches.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    time::{Duration, Instant},
};

use iotq_tests::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Span, household},
    system::{Analyzer, Process, Setup, eventually, has_engine, replay},
};

/// With the household's hour stored.
fn running() -> Option<Analyzer> {
    if !has_engine() {
        return None;
    }
    let since_ns = 1_790_000_000_000_000_000;
    let scenario = household(Span { since_ns, until_ns: since_ns + 60 * MINUTE_NS }, 1);
    let analyzer = Analyzer::start(Setup { names: Some(scenario.description.names_file()), ..Setup::default() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hour.pcap");
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
    for frame in &scenario.frames {
        writer.write(frame.at_ns, &frame.octets).unwrap();
    }
    fs::write(&path, writer.finish().unwrap()).unwrap();
    replay(&analyzer.url(), &[&path], &["--name", "house"]).assert_balanced();
    Some(analyzer)
}

#[test]
fn a_network_outside_finds_the_devices_that_talk_to_it() {
    let Some(analyzer) = running() else { return };
    let sum = |question: &str| -> u64 {
        let rows = analyzer.rows([question, "--since", "all", "--net", "52.0.0.0/8"]);
        let packets = |row: &serde_json::Value| match row["packets"].as_u64() {
            Some(packets) => packets,
            None => row["a_packets"].as_u64().unwrap() + row["b_packets"].as_u64().unwrap(),
        };
        rows.iter().map(packets).sum()
    };
    let packets = sum("conversations");
    assert!(packets > 0);
    // The other end is outside: each packet counts for one device.
    for question in ["top-talkers", "devices", "destinations"] {
        assert_eq!(sum(question), packets, "{question}");
    }
}

#[test]
fn names_are_read_again_on_hangup_and_change_the_past() {
    let Some(analyzer) = running() else { return };
    let named = |name: &str| !analyzer.rows(["devices", "--since", "all", "--device", name]).is_empty();
    assert!(named("Kindle"));
    analyzer.rename("f0:f0:a4:a0:b0:c0, Book, mobile\n");
    eventually("the new name is known", || named("Book").then_some(()));
    assert!(!named("Kindle"));
    // One with errors changes nothing.
    analyzer.rename("nonsense\n");
    eventually("the error is logged", || analyzer.log().contains("the old ones stay").then_some(()));
    assert!(named("Book"));
}

#[test]
fn it_stops_at_once_while_somebody_follows() {
    let Some(mut analyzer) = running() else { return };
    let mut follow = Process::start(&mut analyzer.question(["packets", "--follow"]));
    std::thread::sleep(Duration::from_millis(500));
    assert!(follow.is_running(), "{}", follow.stderr());
    let began = Instant::now();
    analyzer.stop().assert_code(0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let told = follow.wait(Duration::from_secs(5));
    assert_eq!(told.code(), Some(1));
}
