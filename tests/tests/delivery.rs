//! What was captured arrives, or is counted as lost, when the spool is too small, full or
//! cannot be written to. Deaths of programs are in `live.rs` and `faults.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use iotq_tests::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Scenario, Span, household},
    system::{
        Analyzer, Live, Namespace, PATIENCE, Process, Replay, Setup, can_capture, eventually, has_engine, program,
        replay, replay_in_background,
    },
};
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
    let disk = Mounted::tmpfs(cable.spool(), "1m");
    let mut analyzer = Analyzer::absent(Setup { namespace: Some(cable.namespace.clone()), ..Setup::default() });
    let mut live = cable.collector(&analyzer.url(), &[]);
    let hog = cable.spool().join("hog");
    // As much as there is room for.
    let _ = fs::write(&hog, vec![1; 2 << 20]);
    let mut sent = 0;
    eventually("it says that the disk is full", || {
        cable.send(usize::try_from(sent).unwrap());
        sent += SENT;
        live.process().stderr().contains("takes no batches").then_some(())
    });
    fs::remove_file(&hog).unwrap();
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
    let disk = Mounted::tmpfs(cable.spool(), "1m");
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.0).status().unwrap();
    assert!(status.success());
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
    eventually("it captures all the same", || live.stderr().contains("capturing").then_some(()));
    assert!(live.stderr().contains("no spool: batches wait in memory"), "{}", live.stderr());
    assert!(live.is_running());
}

#[test]
fn a_full_store_is_a_state_that_ends_when_there_is_room() {
    if !can_capture() || !has_engine() {
        return;
    }
    let mut analyzer = Analyzer::absent(Setup::default());
    let disk = Mounted::tmpfs(analyzer.data_dir(), "96m");
    analyzer.restart();
    let scenario = household(SPAN, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ten-minutes.pcap");
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
    for frame in &scenario.frames {
        writer.write(frame.at_ns, &frame.octets).unwrap();
    }
    fs::write(&file, writer.finish().unwrap()).unwrap();

    let hog = disk.0.join("hog");
    // As much as there is room for.
    let _ = fs::write(&hog, vec![1; 96 << 20]);
    eventually("it says that it is full", || {
        let full = analyzer.status()["store"]["full"].as_str()?.to_owned();
        assert!(full.contains("is full") && full.contains(disk.0.to_str().unwrap()), "{full}");
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
    fs::remove_file(&hog).unwrap();
    let replayed = Replay::from(patient.wait(PATIENCE));
    replayed.finished.assert_code(0);
    assert_eq!(analyzer.status()["store"]["full"], Value::Null);
    let status = analyzer.status_of("patient").unwrap();
    assert_eq!((status["frames"].as_u64().unwrap(), &status["lost_packets"]), (scenario.expected.frames, &0.into()));
    let rows = analyzer.rows(["packets", "--since", "all", "--collector", "patient"]);
    assert_eq!(rows.len() as u64, status["stored_packets"].as_u64().unwrap(), "no packet twice, none missing");
}

/// A small file system in memory.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let size = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "iotq"]).arg(&path).status().unwrap();
        assert!(status.success());
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
