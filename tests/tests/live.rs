//! Live capture: frames sent over a cable in a network namespace of the test's own.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use iotq_tests::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Scenario, Span, household},
    system::{
        Analyzer, Live, Namespace, PATIENCE, Process, Setup, can_capture, eventually, has_engine, program, run, within,
    },
};
use serde_json::Value;

/// From the cable to the screen (issue 2).
const SEEN_WITHIN: Duration = Duration::from_secs(3);

const SPAN: Span = Span { since_ns: 1_790_000_000_000_000_000, until_ns: 1_790_000_000_000_000_000 + 60 * MINUTE_NS };

struct Site {
    // Dropped in this order: programs before the network they use.
    analyzer: Analyzer,
    namespace: Namespace,
    scenario: Scenario,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let namespace = Namespace::new();
        let scenario = household(SPAN, 1);
        let names = Some(scenario.description.names_file());
        let analyzer = Analyzer::start(Setup { names, namespace: Some(namespace.clone()), ..Setup::default() });
        Self { analyzer, namespace, scenario, folder: tempfile::tempdir().unwrap() }
    }

    /// Starts a collector on the mirror's end and waits until it has said hello.
    fn collector(&self, name: &str, flags: &[&str]) -> Live {
        let flags: Vec<_> = ["--name", name].iter().chain(flags).copied().collect();
        let mut live = Live::start(&self.namespace, &self.analyzer.url(), &[Namespace::MIRROR], &flags);
        eventually("the collector is connected", || {
            assert!(live.process().is_running(), "{}", live.process().stderr());
            self.analyzer.status_of(name).filter(|status| status["connected"] == true)
        });
        live
    }

    /// Writes frames of the scenario to a capture file for tcpreplay.
    fn capture(&self, frames: std::ops::Range<usize>) -> std::path::PathBuf {
        let path = self.folder.path().join(format!("{}-{}.pcap", frames.start, frames.end));
        let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
        for frame in &self.scenario.frames[frames] {
            writer.write(frame.at_ns, &frame.octets).unwrap();
        }
        std::fs::write(&path, writer.finish().unwrap()).unwrap();
        path
    }
}

fn possible() -> bool {
    can_capture() && has_engine()
}

#[test]
fn packets_are_seen_live_within_three_seconds_and_all_of_them() {
    if !possible() {
        return;
    }
    let site = Site::new();
    let collector = site.collector("live", &[]);
    let mut follow = Process::start(&mut site.analyzer.question(["packets", "--follow", "--format", "jsonl"]));
    // It says nothing before there is a packet: send one after the other until one is seen.
    let first = site.capture(0..1);
    let mut sent = 0;
    eventually("the first packet is followed", || {
        site.namespace.send(&first, 1);
        sent += 1;
        std::thread::sleep(Duration::from_millis(500));
        assert!(follow.is_running(), "{}", follow.stderr());
        (!follow.stdout().is_empty()).then_some(())
    });

    let whole = site.capture(0..site.scenario.frames.len());
    let started = Instant::now();
    site.namespace.send(&whole, 2000);
    let took = started.elapsed();
    let expected = site.scenario.expected.packets;
    let followed = |follow: &Process| follow.stdout().lines().count() as u64;
    // All that were followed before are of the first frame.
    let (packets, extra) = within(SEEN_WITHIN, "all packets are followed", || {
        let found = followed(&follow);
        (found > expected).then(|| (found, found - expected))
    });
    assert!((1..=sent).contains(&extra), "{packets} packets were followed, {expected} and up to {sent} were sent");
    println!("sent in {took:?}, all seen {:?} after the last one was sent", started.elapsed() - took);

    // What was captured is what was sent.
    let frames = site.scenario.expected.frames + sent;
    let status = eventually("all frames are counted", || {
        site.analyzer.status_of("live").filter(|status| status["frames"].as_u64().unwrap() >= frames)
    });
    assert_eq!(status["frames"], frames, "{status}");
    assert_eq!(status["lost_packets"], 0, "{status}");
    let answer = site.analyzer.ask(["top-talkers", "--since", "10m"]);
    assert_eq!(answer["coverage"]["lost_packets"], 0);
    let kindle = answer["rows"].as_array().unwrap().iter().find(|row| row["name"] == "Kindle").unwrap().clone();
    assert_eq!(kindle["packets"], 387, "{kindle}");
    let bytes: u64 = site
        .analyzer
        .rows(["conversations", "--since", "10m"])
        .iter()
        .map(|row| row["a_wire_bytes"].as_u64().unwrap() + row["b_wire_bytes"].as_u64().unwrap())
        .sum();
    let of_first = site.scenario.frames[0].octets.len() as u64 * sent;
    assert_eq!(bytes, site.scenario.expected.packet_wire_bytes + of_first);

    // The end is clean, on both sides.
    collector.stop().assert_code(0);
    let status = eventually("the collector is gone", || {
        site.analyzer.status_of("live").filter(|status| status["connected"] == false)
    });
    assert_eq!(status["frames"], frames);
    follow.terminate();
    follow.wait(PATIENCE).assert_calm();
}

#[test]
fn what_was_captured_before_sigterm_is_stored() {
    if !possible() {
        return;
    }
    let site = Site::new();
    let collector = site.collector("short", &[]);
    // Sent and stopped at once: the last batch is not a second old.
    site.namespace.send(&site.capture(0..700), 7000);
    collector.stop().assert_code(0);
    let status = site.analyzer.status_of("short").unwrap();
    assert_eq!(status["frames"], 700, "{status}");
    assert_eq!(status["lost_packets"], 0, "{status}");
}

#[test]
fn a_filter_is_applied() {
    if !possible() {
        return;
    }
    let site = Site::new();
    let collector = site.collector("filtered", &["-f", "udp port 5353"]);
    site.namespace.send(&site.capture(0..1000), 5000);
    collector.stop().assert_code(0);
    let rows = site.analyzer.rows(["packets", "--since", "10m"]);
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["dst_port"] == 5353), "only what the filter lets through");
}

#[test]
fn an_analyzer_that_is_killed_and_restarted_costs_nothing() {
    if !possible() {
        return;
    }
    let mut site = Site::new();
    let collector = site.collector("steady", &[]);
    site.namespace.send(&site.capture(0..500), 2000);
    eventually("the first part is stored", || {
        site.analyzer.status_of("steady").filter(|status| status["frames"] == 500)
    });
    site.analyzer.kill9();
    site.namespace.send(&site.capture(500..1000), 2000);
    site.analyzer.restart();
    site.namespace.send(&site.capture(1000..1500), 2000);
    let status = eventually("all is stored", || {
        site.analyzer.status_of("steady").filter(|status| status["frames"].as_u64().unwrap_or(0) >= 1500)
    });
    assert_eq!((&status["frames"], &status["lost_packets"]), (&Value::from(1500), &Value::from(0)), "{status}");
    collector.stop().assert_code(0);
}

/// Frames that wait in a spool, by the headers of its files: the fifth number after the magic octets.
fn frames_in(spool: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(spool) else { return 0 };
    let batches = entries.flatten().map(|entry| entry.path());
    let frames = batches.filter(|path| path.extension().is_some_and(|extension| extension == "batch")).map(|path| {
        let octets = std::fs::read(path).unwrap_or_default();
        octets.get(32..40).map_or(0, |frames| u64::from_le_bytes(frames.try_into().unwrap()))
    });
    frames.sum()
}

#[test]
fn what_was_captured_survives_the_deaths_of_analyzer_and_collector() {
    if !possible() {
        return;
    }
    let mut site = Site::new();
    let spool = site.folder.path().join("spool");
    let flags = ["--name", "live", "--spool-dir", spool.to_str().unwrap()];
    let url = site.analyzer.url();
    let start = |site: &Site| Live::start(&site.namespace, &url, &[Namespace::MIRROR], &flags);
    site.analyzer.kill9();
    let mut sent = 0;
    for round in 0..3 {
        let mut collector = start(&site);
        eventually("the collector captures", || collector.process().stderr().contains("capturing").then_some(()));
        // Its thread has to be there, too.
        std::thread::sleep(Duration::from_millis(500));
        let part = 600 * round..600 * (round + 1);
        site.namespace.send(&site.capture(part.clone()), 2000);
        sent += part.len() as u64;
        eventually("all frames are in the spool", || (frames_in(&spool) == sent).then_some(()));
        collector.process().kill9();
    }
    site.analyzer.restart();
    let collector = start(&site);
    let status = eventually("all frames are stored", || {
        site.analyzer.status_of("live").filter(|status| status["frames"].as_u64().unwrap() >= sent)
    });
    assert_eq!((status["frames"].as_u64(), status["lost_packets"].as_u64()), (Some(sent), Some(0)), "{status}");
    let finished = collector.stop();
    finished.assert_code(0);
    assert_eq!(frames_in(&spool), 0);
    assert_eq!(site.analyzer.status_of("live").unwrap()["frames"], sent);
}

#[test]
fn frames_are_saved_for_wireshark_exactly_as_many_as_were_asked_for() {
    if !possible() {
        return;
    }
    let site = Site::new();
    let capture = site.capture(0..600);
    let folder = site.folder.path();
    let save = |flags: &[&str]| {
        let mut command = site.namespace.command(Path::new(&program("iotq-collector")));
        command.current_dir(folder).args(["capture", "-i", Namespace::MIRROR]).args(flags);
        let mut process = Process::start(&mut command);
        // It has to listen before there is something to hear.
        std::thread::sleep(Duration::from_millis(700));
        site.namespace.send(&capture, 2000);
        process.wait(PATIENCE)
    };
    let frames_of = |path: &Path| {
        let mut command = std::process::Command::new(program("iotq-collector"));
        let finished = run(command.args(["replay", "--dry-run", "--format", "json"]).arg(path), PATIENCE);
        finished.assert_code(0);
        serde_json::from_str::<Value>(finished.stdout.trim()).unwrap()["frames"].as_u64().unwrap()
    };

    // All of it, into a file of that name; a second one does not write over it.
    let path = folder.join("all.pcapng");
    save(&["-d", "3", "-b", "-w", path.to_str().unwrap()]).assert_code(0);
    assert_eq!(frames_of(&path), 600);
    let refused = save(&["-d", "1", "-w", path.to_str().unwrap()]);
    refused.assert_code(1);
    assert!(refused.stderr.contains("there already"), "{}", refused.stderr);
    assert_eq!(frames_of(&path), 600);

    // Without broadcast and multicast, as many as were asked for, under a name of its own.
    let unicast = site.scenario.frames[..600].iter().filter(|frame| frame.octets[0] & 1 == 0).count() as u64;
    assert!((10..600).contains(&unicast));
    save(&["-d", "3"]).assert_code(0);
    save(&["-c", "7"]).assert_code(0);
    let mut found: Vec<u64> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("mir0_"))
        .map(|path| frames_of(&path))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [7, unicast]);

    // Of one device's group only; and the end by a signal is an end in order.
    let kindle = site.scenario.description.names_file();
    let names = folder.join("names");
    std::fs::write(&names, kindle).unwrap();
    let path = folder.join("roombas.pcapng");
    let group = ["--group", "roomba", "--groups", names.to_str().unwrap(), "-d", "0", "-b", "-w"];
    let mut command = site.namespace.command(Path::new(&program("iotq-collector")));
    command.args(["capture", "-i", Namespace::MIRROR]).args(group).arg(&path);
    let mut process = Process::start(&mut command);
    std::thread::sleep(Duration::from_millis(700));
    site.namespace.send(&capture, 2000);
    std::thread::sleep(Duration::from_millis(1500));
    process.terminate();
    process.wait(PATIENCE).assert_code(0);
    assert!((1..200).contains(&frames_of(&path)), "{}", frames_of(&path));
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    if !can_capture() {
        return;
    }
    let namespace = Namespace::new();
    let live = |arguments: &[&str]| {
        let mut command = namespace.command(Path::new(&program("iotq-collector")));
        run(command.arg("run").args(arguments), PATIENCE)
    };
    let finished = live(&["-i", "nosuch0"]);
    finished.assert_code(1);
    assert!(finished.stderr.contains("nosuch0"), "{}", finished.stderr);
    let finished = live(&["-i", Namespace::MIRROR, "-f", "port and port"]);
    assert!(matches!(finished.code(), Some(1 | 2)), "{finished:?}");
    finished.assert_calm();
    assert!(finished.stderr.contains("port and port"), "{}", finished.stderr);
}

#[test]
fn nothing_is_left_of_the_rights_that_opened_the_interface() {
    if !can_capture() {
        return;
    }
    let namespace = Namespace::new();
    let mut live = Live::start(&namespace, "http://127.0.0.1:9", &[Namespace::MIRROR], &[]);
    eventually("it says what was dropped", || live.process().stderr().contains("privileges dropped").then_some(()));
    let id = live.process().id();
    let statuses = eventually("its threads are there", || {
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
        let statuses: Vec<String> =
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect();
        (statuses.len() > 2).then_some(statuses)
    });
    for status in statuses {
        for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{line} is not in {status}");
        }
    }
}
