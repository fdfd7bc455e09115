//! What was captured arrives, or is counted as lost, when the spool is too small, full or
//! cannot be written to. Deaths of programs are in `live.rs` and `faults.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use iotq_tests::{
    mix::{Storm, storm},
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Scenario, Span, household},
    system::{
        Analyzer, Faults, Live, Namespace, PATIENCE, Process, Proxy, Replay, Setup, SmallDisk, Towards, can_capture,
        eventually, has_engine, program, replay, replay_in_background,
    },
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

const SPAN: Span = Span { since_ns: 1_790_000_000_000_000_000, until_ns: 1_790_000_000_000_000_000 + 10 * MINUTE_NS };

fn files(spool: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "batch")).collect();
    files.sort();
    files
}

fn lost(status: &Value, stage: &str) -> u64 {
    status["lost_by_stage"][stage].as_u64().unwrap_or(0)
}

/// Live, on a cable.
struct Cable {
    namespace: Namespace,
    scenario: Scenario,
    folder: TempDir,
}

impl Cable {
    fn new() -> Self {
        Self { namespace: Namespace::new(), scenario: household(SPAN, 1), folder: tempfile::tempdir().unwrap() }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// The next [`SENT`] frames, again and again if need be.
    fn send(&self, from: usize) {
        let path = self.folder.path().join("part.pcap");
        let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
        for frame in self.scenario.frames.iter().cycle().skip(from).take(usize::try_from(SENT).unwrap()) {
            writer.write(frame.at_ns, &frame.octets).unwrap();
        }
        fs::write(&path, writer.finish().unwrap()).unwrap();
        self.namespace.send(&path, 2000);
    }

    fn collector(&self, url: &str, flags: &[&str]) -> Live {
        let spool = self.spool();
        let flags: Vec<_> =
            ["--name", "attic", "--spool-dir", spool.to_str().unwrap()].iter().chain(flags).copied().collect();
        let mut live = Live::start(&self.namespace, url, &[Namespace::MIRROR], &flags);
        eventually("it captures", || live.process().stderr().contains("capturing").then_some(()));
        // Its thread has to be there, too.
        std::thread::sleep(Duration::from_millis(500));
        live
    }
}

const SENT: u64 = 300;

#[test]
fn what_a_spool_that_is_too_small_gives_up_is_counted_as_lost() {
    if !can_capture() || !has_engine() {
        return;
    }
    let cable = Cable::new();
    let mut analyzer = Analyzer::absent(Setup { namespace: Some(cable.namespace.clone()), ..Setup::default() });
    let mut live = cable.collector(&analyzer.url(), &["--spool-max-bytes", "8192"]);
    let mut sent = 0;
    eventually("batches are given up", || {
        cable.send(usize::try_from(sent).unwrap());
        sent += SENT;
        live.process().stderr().contains("given up").then_some(())
    });
    analyzer.restart();
    // It is connected again, and sends everything.
    eventually("all is sent", || {
        let status = analyzer.status_of("attic")?;
        (files(&cable.spool()).is_empty() && status["connected"] == true).then_some(())
    });
    live.stop().assert_code(0);
    let status = analyzer.status_of("attic").unwrap();
    assert_eq!(status["frames"].as_u64().unwrap(), sent, "what went in was stored, or is counted: {status}");
    let given_up = lost(&status, "spool");
    assert!(given_up > 0, "{status}");
    assert_eq!(given_up, status["lost_packets"].as_u64().unwrap());
    assert_eq!(status["spool"]["given_up_frames"].as_u64().unwrap(), given_up);
}

#[test]
fn a_full_disk_costs_nothing_while_memory_lasts() {
    if !can_capture() || !has_engine() {
        return;
    }
    let cable = Cable::new();
    let disk = SmallDisk::mount(cable.spool(), "1m");
    let mut analyzer = Analyzer::absent(Setup { namespace: Some(cable.namespace.clone()), ..Setup::default() });
    let mut live = cable.collector(&analyzer.url(), &[]);
    disk.fill();
    let mut sent = 0;
    eventually("it says that the disk is full", || {
        cable.send(usize::try_from(sent).unwrap());
        sent += SENT;
        live.process().stderr().contains("takes no batches").then_some(())
    });
    disk.free();
    eventually("it says that it is well again", || {
        cable.send(usize::try_from(sent).unwrap());
        sent += SENT;
        live.process().stderr().contains("takes batches again").then_some(())
    });
    analyzer.restart();
    eventually("all is sent", || {
        analyzer.status_of("attic").filter(|status| status["connected"] == true)?;
        files(&cable.spool()).is_empty().then_some(())
    });
    let finished = live.stop();
    finished.assert_code(0);
    assert_eq!(finished.stderr.matches("takes no batches").count(), 1, "{}", finished.stderr);
    let status = analyzer.status_of("attic").unwrap();
    assert_eq!((status["frames"].as_u64().unwrap(), &status["lost_packets"]), (sent, &0.into()), "{status}");
    drop(disk);
}

#[test]
fn a_read_only_folder_that_was_asked_for_is_an_error_and_the_default_one_a_warning() {
    if !can_capture() {
        return;
    }
    let cable = Cable::new();
    let disk = SmallDisk::mount(cable.spool(), "1m");
    disk.set_read_only(true);
    let nobody = "http://127.0.0.1:9";
    let spool = cable.spool();
    let flags = ["--name", "attic", "--spool-dir", spool.to_str().unwrap()];
    let finished = Live::start(&cable.namespace, nobody, &[Namespace::MIRROR], &flags).process().wait(PATIENCE);
    finished.assert_code(1);
    let said = &finished.stderr;
    assert!(said.contains(spool.to_str().unwrap()) && said.contains("--spool-dir DIR"), "{said}");
    assert!(said.contains("Read-only"), "{said}");

    let mut command = cable.namespace.command(&program("iotq-collector"));
    command.args(["run", "-i", Namespace::MIRROR, "--name", "attic", "--analyzer", nobody]);
    let mut live = Process::start(command.env("XDG_STATE_HOME", &spool));
    // Two threads say it.
    for said in ["capturing", "no spool: batches wait in memory"] {
        eventually("it captures all the same, and says so", || live.stderr().contains(said).then_some(()));
    }
    assert!(live.is_running());
}

#[test]
fn a_full_store_is_a_state_that_ends_when_there_is_room() {
    if !can_capture() || !has_engine() {
        return;
    }
    let mut analyzer = Analyzer::absent(Setup::default());
    let disk = SmallDisk::mount(analyzer.data_dir(), "96m");
    analyzer.restart();
    let scenario = household(SPAN, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ten-minutes.pcap");
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
    for frame in &scenario.frames {
        writer.write(frame.at_ns, &frame.octets).unwrap();
    }
    fs::write(&file, writer.finish().unwrap()).unwrap();

    disk.fill();
    eventually("it says that it is full", || {
        let full = analyzer.status()["store"]["full"].as_str()?.to_owned();
        assert!(full.contains("is full") && full.contains(disk.path().to_str().unwrap()), "{full}");
        Some(())
    });
    // Who cannot wait is told why.
    let replayed = replay(&analyzer.url(), &[&file], &["--name", "hasty", "--timeout", "2s"]);
    replayed.finished.assert_code(1);
    let said = &replayed.finished.stderr;
    assert!(said.contains("nothing was stored for 2 s") && said.contains("is full"), "{said}");

    let mut patient = replay_in_background(&analyzer.url(), &[&file], &["--name", "patient", "--timeout", "60s"]);
    eventually("the collector was told", || patient.stderr().contains("cannot store anything").then_some(()));
    assert_eq!(analyzer.status_of("patient").unwrap()["frames"], 0);
    disk.free();
    let replayed = Replay::from(patient.wait(PATIENCE));
    replayed.finished.assert_code(0);
    assert_eq!(analyzer.status()["store"]["full"], Value::Null);
    let status = analyzer.status_of("patient").unwrap();
    assert_eq!((status["frames"].as_u64().unwrap(), &status["lost_packets"]), (scenario.expected.frames, &0.into()));
    let rows = analyzer.rows(["packets", "--since", "all", "--collector", "patient"]);
    assert_eq!(rows.len() as u64, status["stored_packets"].as_u64().unwrap(), "no packet twice, none missing");
}

/// On a cable, with an analyzer that runs, reached through a network that may fail.
struct Line {
    // Dropped in this order: programs before what they use.
    analyzer: Analyzer,
    proxy: Proxy,
    cable: Cable,
    sent: u64,
}

impl Line {
    fn new() -> Option<Self> {
        if !can_capture() || !has_engine() {
            return None;
        }
        let cable = Cable::new();
        let analyzer = Analyzer::start(Setup { namespace: Some(cable.namespace.clone()), ..Setup::default() });
        let proxy = cable.namespace.inside(|| Proxy::start(analyzer.port()));
        Some(Self { analyzer, proxy, cable, sent: 0 })
    }

    fn collector(&self) -> Live {
        let live = self.cable.collector(&self.proxy.url(), &[]);
        eventually("it is connected", || self.analyzer.status_of("attic").filter(|status| status["connected"] == true));
        live
    }

    fn send(&mut self) {
        self.cable.send(usize::try_from(self.sent).unwrap());
        self.sent += SENT;
    }

    fn frames(&self) -> u64 {
        self.analyzer.status_of("attic").map_or(0, |status| status["frames"].as_u64().unwrap())
    }

    fn await_all(&self) {
        eventually("all is stored and acknowledged", || {
            (self.frames() >= self.sent && files(&self.cable.spool()).is_empty()).then_some(())
        });
        self.assert_exact();
    }

    fn assert_exact(&self) {
        let status = self.analyzer.status_of("attic").unwrap();
        assert_eq!(
            (status["frames"].as_u64(), status["lost_packets"].as_u64()),
            (Some(self.sent), Some(0)),
            "{status}"
        );
        let rows = self.analyzer.rows(["packets", "--since", "all", "--collector", "attic"]);
        assert_eq!(rows.len() as u64, status["stored_packets"].as_u64().unwrap(), "no packet twice, none missing");
    }
}

#[test]
fn acknowledgements_that_are_lost_cost_nothing_and_double_nothing() {
    let Some(mut line) = Line::new() else { return };
    let live = line.collector();
    line.send();
    line.await_all();
    line.proxy.set(Faults { swallow: Some(Towards::Client), ..Faults::default() });
    line.send();
    eventually("the analyzer has it", || (line.frames() == line.sent).then_some(()));
    assert!(!files(&line.cable.spool()).is_empty(), "the collector does not know");
    // The connection is of no use any more, and another one is made.
    line.proxy.set(Faults::default());
    line.await_all();
    // One half that is closed is no better than both.
    for towards in [Towards::Server, Towards::Client] {
        line.proxy.half_close(towards);
        line.send();
        line.await_all();
    }
    live.stop().assert_code(0);
    line.assert_exact();
}

#[test]
fn a_slow_line_is_late_and_loses_nothing() {
    let Some(mut line) = Line::new() else { return };
    let live = line.collector();
    let slow = Faults { delay: Duration::from_millis(300), bytes_per_sec: Some(8_000), swallow: None };
    line.proxy.set(slow);
    for _ in 0..4 {
        line.send();
    }
    line.await_all();
    live.stop().assert_code(0);
    line.assert_exact();
}

#[test]
fn a_stop_while_the_analyzer_stands_still_leaves_everything_in_the_spool() {
    let Some(mut line) = Line::new() else { return };
    let live = line.collector();
    line.analyzer.process().unwrap().signal(Signal::SIGSTOP);
    line.send();
    let began = Instant::now();
    let finished = live.stop();
    finished.assert_code(0);
    // The grace of eight seconds, and something for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(finished.stderr.contains("batches wait in the spool"), "{}", finished.stderr);
    assert!(!files(&line.cable.spool()).is_empty());
    line.analyzer.process().unwrap().signal(Signal::SIGCONT);
    let live = line.collector();
    line.await_all();
    live.stop().assert_code(0);
    line.assert_exact();
}

#[test]
fn an_analyzer_that_stands_still_under_full_load_fills_the_spool_and_not_the_memory() {
    let Some(mut line) = Line::new() else { return };
    let mut live = line.collector();
    let path = line.cable.folder.path().join("storm.pcap");
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
    let wanted = Storm { packets: STORM, flows: 100_000, at_ns: SPAN.since_ns, seed: 1 };
    storm(&wanted, &mut |at_ns: i64, octets: &[u8]| writer.write(at_ns, octets)).unwrap();
    fs::write(&path, writer.finish().unwrap()).unwrap();

    line.analyzer.process().unwrap().signal(Signal::SIGSTOP);
    line.cable.namespace.send(&path, 100_000);
    eventually("the spool has what came", || {
        let sizes = files(&line.cable.spool()).into_iter().map(|path| fs::metadata(path).map_or(0, |data| data.len()));
        (sizes.sum::<u64>() > STORM).then_some(())
    });
    let peak = live.process().peak_bytes().unwrap();
    assert!(peak < 256 << 20, "{peak} octets");
    line.analyzer.process().unwrap().signal(Signal::SIGCONT);
    // What the cable itself dropped came to nobody.
    let arrived = STORM - line.cable.namespace.dropped();
    let status = eventually("all is stored", || {
        let status = line.analyzer.status_of("attic")?;
        (status["frames"].as_u64()? >= arrived && files(&line.cable.spool()).is_empty()).then_some(status)
    });
    let count = |field: &str| status[field].as_u64().unwrap();
    // A machine busy with other things loses some, and says so.
    assert_eq!((count("frames"), count("stored_packets") + count("lost_packets")), (arrived, arrived), "{status}");
    println!("{peak} octets of memory at most, {} of {arrived} lost", count("lost_packets"));
    live.stop().assert_code(0);
}

/// Three seconds of it.
const STORM: u64 = 300_000;

#[test]
fn a_folder_that_may_not_be_written_to_any_more_is_said_loudly_and_costs_nothing() {
    let Some(mut line) = Line::new() else { return };
    let mut live = line.collector();
    line.analyzer.kill9();
    let allow = |mode| fs::set_permissions(line.cable.spool(), fs::Permissions::from_mode(mode)).unwrap();
    // It has no right any more to do what permissions forbid, though it is root's.
    allow(0o500);
    let mut sent = line.sent;
    for (mode, says) in [(0o500, "takes no batches"), (0o700, "takes batches again")] {
        allow(mode);
        eventually(says, || {
            line.cable.send(usize::try_from(sent).unwrap());
            sent += SENT;
            live.process().stderr().contains(says).then_some(())
        });
    }
    line.sent = sent;
    line.analyzer.restart();
    line.await_all();
    live.stop().assert_code(0);
    line.assert_exact();
}
