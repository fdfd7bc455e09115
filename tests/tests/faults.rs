//! What goes wrong: damaged files, nonsense as flags, an analyzer that is not
//! there, comes late, or is killed in the middle. No panic, clear messages, right
//! exit codes, and totals that are right in the end.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command},
    time::{Duration, Instant},
};

use iotq_collector::spool::Header;
use iotq_proto::v1;
use iotq_tests::{
    mix::{Storm, storm},
    pcap_file::{ByteOrder, ETHERNET, Interface, PcapWriter, PcapngWriter, Precision},
    random::Random,
    scenario::{MINUTE_NS, Scenario, Span, household},
    system::{
        Analyzer, PATIENCE, Process, Replay, Setup, eventually, free_port, has_engine, program, replay, replay_fed,
        replay_in_background, run,
    },
};
use prost::Message as _;
use serde_json::Value;
use tempfile::TempDir;

const SPAN: Span = Span { since_ns: 1_790_000_000_000_000_000, until_ns: 1_790_000_000_000_000_000 + 10 * MINUTE_NS };

fn scenario() -> Scenario {
    household(SPAN, 1)
}

fn capture_of(scenario: &Scenario) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Nano, ByteOrder::Little).unwrap();
    for frame in &scenario.frames {
        writer.write(frame.at_ns, &frame.octets).unwrap();
    }
    writer.finish().unwrap()
}

fn capture_ng_of(scenario: &Scenario) -> Vec<u8> {
    let interface = Interface { name: "mirror".into(), link_type: ETHERNET, snaplen: 0, tsresol: 9 };
    let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little, &[interface]).unwrap();
    for frame in &scenario.frames {
        writer.write(0, frame.at_ns, &frame.octets, frame.octets.len()).unwrap();
    }
    writer.finish().unwrap()
}

/// Replays one file without sending it anywhere.
fn dry_run(file: &Path) -> Replay {
    replay("http://127.0.0.1:9", &[file], &["--dry-run"])
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, octets).unwrap();
        path
    }
}

#[test]
fn a_file_cut_anywhere_gives_all_frames_before_the_cut() {
    let scenario = scenario();
    let folder = Folder::new();
    let whole = capture_of(&scenario);
    let done = dry_run(&folder.file("whole.pcap", &whole));
    done.finished.assert_code(0);
    assert_eq!(done.count("frames"), scenario.expected.frames);

    // Where each frame's record ends.
    let mut ends = vec![24];
    for frame in &scenario.frames {
        ends.push(ends[ends.len() - 1] + 16 + frame.octets.len());
    }
    let mut random = Random::new(7);
    for round in 0..40 {
        let at = 25 + usize::try_from(random.below(whole.len() as u64 - 26)).unwrap();
        let file = folder.file("cut.pcap", &whole[..at]);
        let done = dry_run(&file);
        let frames = ends.iter().filter(|end| **end <= at).count() - 1;
        assert_eq!(done.count("frames"), frames as u64, "round {round}, cut at {at}");
        done.assert_balanced();
        if ends.contains(&at) {
            done.finished.assert_code(0);
        } else {
            done.finished.assert_code(1);
            // The message says which file, and where.
            assert!(done.finished.stderr.contains("cut.pcap"), "{}", done.finished.stderr);
            let said: Vec<usize> = numbers_in(&done.finished.stderr);
            let record = ends[frames];
            assert!(said.iter().any(|number| (record..=at).contains(number)), "{at}: {}", done.finished.stderr);
        }
    }
}

#[test]
fn a_pcapng_file_cut_anywhere_gives_all_frames_before_the_cut() {
    let scenario = scenario();
    let folder = Folder::new();
    let whole = capture_ng_of(&scenario);
    assert_eq!(dry_run(&folder.file("whole.pcapng", &whole)).count("frames"), scenario.expected.frames);
    let mut random = Random::new(8);
    for _ in 0..25 {
        let at = 100 + usize::try_from(random.below(whole.len() as u64 - 101)).unwrap();
        let done = dry_run(&folder.file("cut.pcapng", &whole[..at]));
        done.finished.assert_calm();
        done.assert_balanced();
        // A cut between two blocks is none.
        assert!(matches!(done.finished.code(), Some(0 | 1)), "{:?}", done.finished);
        assert!(done.count("frames") < scenario.expected.frames);
    }
}

#[test]
fn flipped_bits_never_make_a_panic_or_an_unbalanced_sum() {
    let scenario = scenario();
    let folder = Folder::new();
    let wholes = [capture_of(&scenario), capture_ng_of(&scenario)];
    let mut random = Random::new(9);
    for round in 0..60 {
        let mut octets = wholes[round % 2].clone();
        for _ in 0..=random.below(40) {
            let at = usize::try_from(random.below(octets.len() as u64)).unwrap();
            octets[at] ^= 1 << random.below(8);
        }
        let done = dry_run(&folder.file(&format!("flipped-{round}"), &octets));
        done.finished.assert_calm();
        assert!(matches!(done.finished.code(), Some(0 | 1)), "round {round}: {:?}", done.finished);
        done.assert_balanced();
    }
}

#[test]
fn foreign_files_are_refused_by_name() {
    let folder = Folder::new();
    let noise = Random::new(3).octets(70_000);
    let scenario = scenario();
    let whole = capture_of(&scenario);
    for (name, octets) in [
        ("empty.pcap", &[][..]),
        ("four-octets.pcap", &whole[..4]),
        ("half-a-header.pcap", &whole[..20]),
        ("letter.txt", b"Dear Sir or Madam,\nplease find enclosed nothing.\n".as_slice()),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01".as_slice()),
        ("noise.pcapng", noise.as_slice()),
        ("zeros.pcap", &[0; 5000]),
        ("sun.snoop", b"snoop\0\0\0\0\0\0\x02\0\0\0\x04".as_slice()),
        ("noise.pcap.gz", &[&[0x1f, 0x8b, 8, 0][..], &noise[..2000]].concat()),
        ("noise.pcap.zst", &[&[0x28, 0xb5, 0x2f, 0xfd][..], &noise[..2000]].concat()),
    ] {
        let done = dry_run(&folder.file(name, octets));
        done.finished.assert_code(1);
        assert!(done.finished.stderr.contains(name), "{name}: {}", done.finished.stderr);
        assert!(done.finished.stderr.lines().count() <= 4, "{name}: {}", done.finished.stderr);
    }
    for name in ["absent.pcap", "."] {
        let done = dry_run(&folder.0.path().join(name));
        done.finished.assert_code(1);
        assert!(!done.finished.stderr.is_empty());
    }
}

#[test]
fn an_empty_capture_is_no_error() {
    let folder = Folder::new();
    let empty = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Big).unwrap().finish().unwrap();
    let done = dry_run(&folder.file("quiet.pcap", &empty));
    done.finished.assert_code(0);
    assert_eq!(done.count("frames"), 0);
}

#[test]
fn one_bad_file_does_not_keep_the_others_from_being_read() {
    let scenario = scenario();
    let folder = Folder::new();
    let good = folder.file("good.pcap", &capture_of(&scenario));
    let bad = folder.file("bad.pcap", b"this is no capture");
    let also_good = folder.file("also-good.pcapng", &capture_ng_of(&scenario));
    let done = replay("http://127.0.0.1:9", &[&good, &bad, &also_good], &["--dry-run"]);
    done.finished.assert_code(1);
    assert_eq!(done.count("frames"), 2 * scenario.expected.frames);
    let errors: Vec<_> = done.summary["files"].as_array().unwrap().iter().map(|file| file["error"].is_null()).collect();
    assert_eq!(errors, [true, false, true], "{}", done.summary);
}

#[test]
fn an_unknown_link_type_makes_frames_undecoded() {
    let folder = Folder::new();
    let mut writer = PcapWriter::new(Vec::new(), 147, Precision::Micro, ByteOrder::Little).unwrap();
    for second in 0..5 {
        writer.write(SPAN.since_ns + second * 1_000_000_000, &[0x45; 80]).unwrap();
    }
    let done = dry_run(&folder.file("user0.pcap", &writer.finish().unwrap()));
    done.finished.assert_code(0);
    assert_eq!((done.count("frames"), done.count("undecoded")), (5, 5), "{}", done.summary);
}

#[test]
fn nonsense_as_flags_is_a_usage_error() {
    let mut random = Random::new(11);
    let subcommands = [("iotq-collector", "replay"), ("iotq-analyzer", "serve"), ("iotq", "top-talkers")];
    for (name, subcommand) in subcommands {
        for round in 0..14_u64 {
            let mut command = Command::new(program(name));
            // Where a value could be taken for a good one nothing must come of it.
            command.env("HOME", "/nonexistent").env("XDG_DATA_HOME", "/nonexistent");
            if round % 2 == 1 {
                command.arg(subcommand);
            }
            for _ in 0..=round % 5 {
                let len = 1 + usize::try_from(random.below(60)).unwrap();
                let mut word = vec![b'-'; usize::try_from(round % 3).unwrap()];
                // An argument cannot hold a zero octet; `@` begins no word that means something.
                word.push(b'@');
                word.extend(random.octets(len).into_iter().map(|octet| octet.max(1)));
                command.arg(OsString::from_vec(word));
            }
            let finished = run(&mut command, PATIENCE);
            finished.assert_calm();
            // A word without dashes is a file that does not exist.
            let is_file = name == "iotq-collector" && round % 2 == 1 && round % 3 == 0;
            let code = if is_file { finished.code() } else { Some(2) };
            assert!(matches!(code, Some(1 | 2)), "{}: {:?}", finished.command, finished);
            assert_eq!(finished.code(), code, "{}: {}", finished.command, finished.stderr);
            // Of files that do not exist there is a summary.
            assert!(is_file || finished.stdout.is_empty(), "{}: {}", finished.command, finished.stdout);
        }
    }
    for name in ["iotq-collector", "iotq-analyzer", "iotq"] {
        for (flag, code) in [("--help", 0), ("--version", 0), ("--frobnicate", 2)] {
            run(Command::new(program(name)).arg(flag), PATIENCE).assert_code(code);
        }
    }
}

#[test]
fn without_an_analyzer_a_replay_says_what_remains() {
    let scenario = scenario();
    let folder = Folder::new();
    let file = folder.file("hour.pcap", &capture_of(&scenario));
    let url = format!("http://127.0.0.1:{}", free_port());
    let started = Instant::now();
    let done = replay(&url, &[&file], &["--timeout", "2s"]);
    done.finished.assert_code(1);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    done.assert_balanced();
    assert_eq!(done.count("frames"), scenario.expected.frames);
    assert_eq!(done.count("stored_packets"), 0, "nothing was acknowledged: {}", done.summary);
    assert!(!done.finished.stderr.is_empty());

    let asked =
        run(Command::new(program("iotq")).args(["top-talkers", "--analyzer", &url, "--format", "json"]), PATIENCE);
    asked.assert_code(1);
    assert!(asked.stderr.contains(&url), "{}", asked.stderr);
    assert!(asked.stdout.is_empty());
}

#[test]
fn an_analyzer_that_comes_late_gets_everything() {
    if !has_engine() {
        return;
    }
    let scenario = scenario();
    let folder = Folder::new();
    let file = folder.file("hour.pcap", &capture_of(&scenario));
    let mut analyzer = Analyzer::absent(Setup::default());
    let mut collector = replay_in_background(&analyzer.url(), &[&file], &["--name", "early"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(collector.is_running(), "{}", collector.stderr());
    analyzer.restart();
    let done = Replay::from(collector.wait(PATIENCE));
    done.finished.assert_code(0);
    assert_eq!(done.count("stored_packets"), scenario.expected.packets);
    let status = analyzer.status_of("early").unwrap();
    assert_eq!(status["frames"], scenario.expected.frames);
}

#[test]
fn an_analyzer_killed_during_a_replay_has_everything_once() {
    if !has_engine() {
        return;
    }
    let mut analyzer = Analyzer::start(Setup::default());
    let mut fed = Fed::start(&analyzer, "survivor");
    for part in 0..3 {
        let before = stored(&analyzer, "survivor");
        fed.feed(part);
        eventually("more is stored", || (stored(&analyzer, "survivor") > before).then_some(()));
        analyzer.kill9();
        analyzer.restart();
    }
    fed.finish(&analyzer, "survivor");
}

#[test]
fn a_clickhouse_killed_during_a_replay_has_everything_once() {
    if !has_engine() {
        return;
    }
    let analyzer = Analyzer::start(Setup::default());
    let mut fed = Fed::start(&analyzer, "survivor");
    let mut killed = None;
    for part in 0..3 {
        fed.feed(part);
        let engine = eventually("there is a new engine", || analyzer.engine_id().filter(|id| Some(*id) != killed));
        killed = Some(engine);
        let engine = nix::unistd::Pid::from_raw(i32::try_from(engine).unwrap());
        nix::sys::signal::kill(engine, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    fed.finish(&analyzer, "survivor");
}

#[test]
fn a_killed_analyzer_takes_its_clickhouse_with_it() {
    if !has_engine() {
        return;
    }
    let mut analyzer = Analyzer::start(Setup::default());
    assert!(analyzer.engine_id().is_some(), "ClickHouse runs as a child");
    analyzer.kill9();
    eventually("the engine ends", || analyzer.engine_id().is_none().then_some(()));
}

#[test]
fn what_keeps_an_analyzer_from_starting_is_said_in_a_line() {
    if !has_engine() {
        return;
    }
    let analyzer = Analyzer::start(Setup::default());
    let refused = |command: &mut Command, names: &str| {
        let finished = run(command, PATIENCE);
        finished.assert_code(1);
        let errors: Vec<_> = finished.stderr.lines().filter(|line| line.contains(names)).collect();
        assert!(!errors.is_empty(), "`{names}` is not named: {}", finished.stderr);
    };
    // The same command again: the port is taken, or the folder is.
    let finished = run(&mut analyzer.command(), PATIENCE);
    finished.assert_code(1);
    assert!(!finished.stderr.is_empty());

    let other = Analyzer::absent(Setup::default());
    let data_dir = analyzer.data_dir();
    let mut same_folder = other.command();
    same_folder.arg("--data-dir").arg(&data_dir);
    let finished = run(&mut same_folder, PATIENCE);
    // Given twice it is a usage error, which would hide what is asked here.
    if finished.code() == Some(2) {
        let mut command = Command::new(program("iotq-analyzer"));
        command.arg("serve").arg("--data-dir").arg(&data_dir);
        command.args(["--listen", &format!("127.0.0.1:{}", free_port())]);
        command.args(["--http-listen", &format!("127.0.0.1:{}", free_port())]);
        refused(&mut command, data_dir.to_str().unwrap());
    }

    let mut no_engine = other.command();
    no_engine.args(["--engine", "/nonexistent/libchdb.so"]);
    refused(&mut no_engine, "/nonexistent/libchdb.so");
    let mut no_names = other.command();
    no_names.args(["--names", "/nonexistent/names"]);
    refused(&mut no_names, "/nonexistent/names");
    let mut no_server = other.command();
    no_server.args(["--clickhouse-url", &format!("http://127.0.0.1:{}", free_port())]);
    let started = Instant::now();
    let process = Process::start(&mut no_server);
    // It may say so and end, or go on trying; it must not be ready nor silent.
    eventually("it says that the server is not there", || (!process.stderr().is_empty()).then_some(()));
    assert!(started.elapsed() < PATIENCE);
    drop(process);
    // The first one was not disturbed.
    assert_eq!(analyzer.status()["collectors"], Value::Array(Vec::new()));
}

/// A replay of standard input, fed part by part, so that something can be done to
/// the others at a known time.
struct Fed {
    collector: Process,
    input: Option<ChildStdin>,
    octets: Vec<u8>,
    sent: usize,
    frames: u64,
    packets: u64,
    wire_bytes: u64,
}

/// Enough for a batch in each part: one from a file holds 65,536 slices at most, and with so many flows
/// nearly each packet is one.
const FED_PACKETS: u64 = 400_000;
const FED_FLOWS: u32 = 200_000;
const PARTS: usize = 4;

impl Fed {
    fn start(analyzer: &Analyzer, name: &str) -> Self {
        let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Nano, ByteOrder::Little).unwrap();
        let fed = Storm { packets: FED_PACKETS, flows: FED_FLOWS, at_ns: SPAN.since_ns, seed: 5 };
        let made = storm(&fed, &mut |at_ns: i64, octets: &[u8]| writer.write(at_ns, octets)).unwrap();
        let (collector, input) = replay_fed(&analyzer.url(), &["--name", name, "--timeout", "80s"]);
        Self {
            collector,
            input: Some(input),
            octets: writer.finish().unwrap(),
            sent: 0,
            frames: made.frames,
            packets: made.frames - made.no_ip,
            wire_bytes: made.wire_bytes,
        }
    }

    /// Writes a part; the collector may hold back the end of it.
    fn feed(&mut self, part: usize) {
        let until = self.octets.len() * (part + 1) / PARTS;
        let input = self.input.as_mut().unwrap();
        input.write_all(&self.octets[self.sent..until]).unwrap();
        self.sent = until;
    }

    fn finish(mut self, analyzer: &Analyzer, name: &str) {
        self.feed(PARTS - 1);
        drop(self.input.take());
        let done = Replay::from(self.collector.wait(2 * PATIENCE));
        done.finished.assert_code(0);
        done.assert_balanced();
        assert_eq!(done.count("frames"), self.frames, "{}", done.summary);
        assert_eq!(done.count("stored_packets"), self.packets, "{}", done.summary);
        let status = eventually("the store answers", || {
            let asked = analyzer.try_ask(["status", "--format", "json"]);
            asked.assert_calm();
            (asked.code() == Some(0)).then(|| analyzer.status_of(name)).flatten()
        });
        assert_eq!(status["frames"], self.frames, "nothing is missing and nothing is there twice");
        assert_eq!(status["stored_packets"], self.packets);
        let mut sums = [0; 2];
        for row in analyzer.rows(["conversations", "--since", "all", "--collector", name]) {
            for (sum, fields) in sums.iter_mut().zip([["a_packets", "b_packets"], ["a_wire_bytes", "b_wire_bytes"]]) {
                *sum += fields.iter().map(|field| row[*field].as_u64().unwrap()).sum::<u64>();
            }
        }
        assert_eq!(sums, [self.packets, self.wire_bytes], "packets and octets in conversations");
        let talkers = analyzer.rows(["timeline", "--since", "all", "--collector", name]);
        assert_eq!(talkers.iter().map(|row| row["packets"].as_u64().unwrap()).sum::<u64>(), self.packets);
    }
}

fn stored(analyzer: &Analyzer, collector: &str) -> u64 {
    analyzer.status_of(collector).and_then(|status| status["frames"].as_u64()).unwrap_or(0)
}

/// All numbers in a text.
fn numbers_in(text: &str) -> Vec<usize> {
    text.split(|char: char| !char.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn a_closed_pipe_is_no_failure() {
    if !has_engine() {
        return;
    }
    let scenario = scenario();
    let folder = Folder::new();
    let file = folder.file("hour.pcap", &capture_of(&scenario));
    let analyzer = Analyzer::start(Setup::default());
    replay(&analyzer.url(), &[&file], &["--name", "house"]).finished.assert_code(0);
    let mut asked = analyzer
        .question(["packets", "--since", "all", "--format", "jsonl"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    asked.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed here, long before the end of the answer.
    let status = asked.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// Files in a spool that wait to be sent.
fn waiting_in(spool: &Path) -> usize {
    let is_batch = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "batch");
    fs::read_dir(spool).map_or(0, |entries| entries.flatten().filter(is_batch).count())
}

#[test]
fn what_a_replay_could_not_send_is_sent_by_the_next_start_and_stored_once() {
    if !has_engine() {
        return;
    }
    let scenario = scenario();
    let folder = Folder::new();
    let file = folder.file("hour.pcap", &capture_of(&scenario));
    let spool = folder.0.path().join("spool");
    let flags = |timeout| ["--name", "house", "--spool-dir", spool.to_str().unwrap(), "--timeout", timeout];
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let done = replay(&nobody, &[&file], &flags("1s"));
    done.finished.assert_code(1);
    done.assert_balanced();
    assert_eq!(done.count("lost"), scenario.expected.frames);
    let said = &done.finished.stderr;
    assert!(said.contains("to be sent by the next start") && said.contains("twice"), "{said}");
    assert!(waiting_in(&spool) > 0);

    // Somebody else's batches are nobody's to send.
    let mut other = flags("1s");
    other[1] = "another";
    let refused = replay(&nobody, &[&file], &other);
    refused.finished.assert_code(1);
    assert!(refused.finished.stderr.contains("--name house"), "{}", refused.finished.stderr);

    let analyzer = Analyzer::start(Setup::default());
    let nothing = folder.file("nothing.pcap", &capture_of(&Scenario { frames: Vec::new(), ..scenario.clone() }));
    replay(&analyzer.url(), &[&nothing], &flags("60s")).finished.assert_code(0);
    assert_eq!((waiting_in(&spool), stored(&analyzer, "house")), (0, scenario.expected.frames));
    let answer = analyzer.ask(["top-talkers", "--since", "all"]);
    assert_eq!(answer["coverage"]["lost_packets"], 0);
}

#[test]
fn a_damaged_file_in_the_spool_is_set_aside_and_stops_nothing() {
    if !has_engine() {
        return;
    }
    let folder = Folder::new();
    let spool = folder.0.path().join("spool");
    fs::create_dir(&spool).unwrap();
    fs::write(spool.join("0000000000000001-0000000000000001.batch"), b"damaged").unwrap();
    let scenario = scenario();
    let file = folder.file("hour.pcap", &capture_of(&scenario));
    let analyzer = Analyzer::start(Setup::default());
    let done = replay(&analyzer.url(), &[&file], &["--name", "house", "--spool-dir", spool.to_str().unwrap()]);
    done.finished.assert_code(0);
    assert!(done.finished.stderr.contains("damaged file in the spool"), "{}", done.finished.stderr);
    assert_eq!(stored(&analyzer, "house"), scenario.expected.frames);
    assert_eq!(fs::read_dir(spool.join("damaged")).unwrap().count(), 1);
}

#[test]
fn files_that_were_changed_or_cut_in_the_spool_are_counted_as_lost() {
    if !has_engine() {
        return;
    }
    let scenario = scenario();
    let folder = Folder::new();
    let part = scenario.frames.len() / 4;
    let files: Vec<_> = (0..4)
        .map(|number| {
            let frames = scenario.frames[number * part..(number + 1) * part].to_vec();
            folder.file(&format!("{number}.pcap"), &capture_of(&Scenario { frames, ..scenario.clone() }))
        })
        .collect();
    let spool = folder.0.path().join("spool");
    let flags = |timeout| ["--name", "house", "--spool-dir", spool.to_str().unwrap(), "--timeout", timeout];
    replay(&format!("http://127.0.0.1:{}", free_port()), &files, &flags("1s")).finished.assert_code(1);
    let mut batches: Vec<_> = fs::read_dir(&spool).unwrap().flatten().map(|entry| entry.path()).collect();
    batches.retain(|path| path.extension().is_some_and(|extension| extension == "batch"));
    batches.sort();
    assert_eq!(batches.len(), 4);
    let change = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = fs::read(path).unwrap();
        change(&mut octets);
        fs::write(path, octets).unwrap();
    };
    change(&batches[1], &|octets| octets[200] ^= 0x10);
    change(&batches[2], &|octets| octets.truncate(150));

    let analyzer = Analyzer::start(Setup::default());
    let nothing = folder.file("nothing.pcap", &capture_of(&Scenario { frames: Vec::new(), ..scenario.clone() }));
    // What is known at the end only is reported by the next start.
    for _ in 0..2 {
        replay(&analyzer.url(), &[&nothing], &flags("60s")).finished.assert_code(0);
    }
    let status = analyzer.status_of("house").unwrap();
    let lost = status["lost_by_stage"]["spool"].as_u64().unwrap();
    assert_eq!((status["frames"].as_u64().unwrap(), lost), (4 * part as u64, 2 * part as u64), "{status}");
    assert_eq!(fs::read_dir(spool.join("damaged")).unwrap().count(), 2);
}

#[test]
fn a_batch_that_no_analyzer_takes_is_set_aside_and_counted() {
    if !has_engine() {
        return;
    }
    let folder = Folder::new();
    let spool = folder.0.path().join("spool");
    fs::create_dir(&spool).unwrap();
    // As a collector with a fault might have written it: seven frames, of which nothing is said.
    let batch = v1::Batch { collector: "house".into(), epoch: 1, seq: 1, frames: 7, ..v1::Batch::default() };
    let message = v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) }.encode_to_vec();
    let header = Header { epoch: 1, seq: 1, sealed_at_ns: SPAN.since_ns, frames: 7 };
    let octets = [header.encode(&message), message].concat();
    fs::write(spool.join("0000000000000001-0000000000000001.batch"), octets).unwrap();

    let scenario = scenario();
    let file = folder.file("hour.pcap", &capture_of(&scenario));
    let nothing = folder.file("nothing.pcap", &capture_of(&Scenario { frames: Vec::new(), ..scenario.clone() }));
    let analyzer = Analyzer::start(Setup::default());
    for file in [&file, &nothing] {
        let done = replay(&analyzer.url(), &[file], &["--name", "house", "--spool-dir", spool.to_str().unwrap()]);
        done.finished.assert_calm();
    }
    let status = analyzer.status_of("house").unwrap();
    assert_eq!(status["lost_by_stage"]["rejected"], 7, "{status}");
    assert_eq!(status["frames"], scenario.expected.frames + 7, "the others are stored: {status}");
    assert_eq!((waiting_in(&spool), fs::read_dir(spool.join("rejected")).unwrap().count()), (0, 1));
}
