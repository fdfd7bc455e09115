//! The program as users meet it: flags, output, exit status.
#![expect(clippy::unwrap_used, reason = "a test that fails shall say where")]

use std::{
    env, fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Environment variables of whoever runs the tests must not matter.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iotq-collector"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("IOTQ_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("COLUMNS", "80").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares with a file in `tests/golden`; `IOTQ_BLESS=1` rewrites it.
fn assert_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("IOTQ_BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs; IOTQ_BLESS=1 rewrites it", path.display());
}

/// A classic pcap file of so many UDP packets, one a second, each of its own flow,
/// and one ARP frame.
fn capture(packets: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for index in 0..=packets {
        let mut frame = vec![0, 0, 0x5e, 0, 0x53, 1, 0, 0, 0x5e, 0, 0x53, 2];
        if index == packets {
            frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
            frame.resize(60, 0);
        } else {
            let [_, _, high, low] = index.to_be_bytes();
            frame.extend([0x08, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7]);
            frame.extend([high, low, 0, 53, 0, 26, 0, 0]);
            frame.resize(60, 0);
        }
        for word in [1_000_000_000 + index, 0, 60, 60] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn capture_file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn json(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

fn assert_balances(summary: &Value) {
    let sum = |key: &str| summary[key].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    let accounted = summary["stored_packets"].as_u64().unwrap() + sum("no_ip") + sum("undecoded") + sum("lost");
    assert_eq!(summary["frames"].as_u64().unwrap(), accounted, "{summary}");
}

#[test]
fn help_is_as_it_was() {
    for command in ["", "run", "replay", "capture", "doctor", "interfaces"] {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let output = run(&args);
        assert!(output.status.success());
        let name = if command.is_empty() { "help.txt".to_owned() } else { format!("help-{command}.txt") };
        assert_golden(&name, &text(&output.stdout));
    }
}

#[test]
fn the_version_is_the_crates() {
    assert_eq!(text(&run(&["--version"]).stdout), concat!("iotq-collector ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_has_status_2_and_says_why() {
    let cases: [&[&str]; 11] = [
        &[],
        &["replay"],
        &["run"],
        &["bogus"],
        &["replay", "x", "--bogus"],
        &["replay", "x", "--timeout", "soon"],
        &["replay", "x", "--name", "a/b"],
        &["replay", "x", "--analyzer", "https://127.0.0.1:50651", "--tls", "/nowhere"],
        &["replay", "x", "--analyzer", "http://192.0.2.1:50651"],
        &["replay", "-", "-"],
        &["run", "-i", "lo", "--snaplen", "7"],
    ];
    for args in cases {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn garbage_as_flags_is_wrong_usage_and_no_panic() {
    for seed in 0..20_u32 {
        let mut state = seed.wrapping_mul(2_654_435_761).max(1);
        let fields: Vec<String> = (0..40)
            .map(|_| {
                (0..12)
                    .map(|_| {
                        state ^= state << 13;
                        state ^= state >> 17;
                        state ^= state << 5;
                        char::from_u32(state % 0x2fff).filter(|char| *char != '\0').unwrap_or('-')
                    })
                    .collect()
            })
            .collect();
        for command in [None, Some("replay"), Some("run"), Some("capture"), Some("interfaces")] {
            // Garbage that begins with `--` is a flag, which no command has.
            let args = command.into_iter().map(str::to_owned).chain(fields.iter().map(|field| format!("--{field}")));
            let output = program().args(args).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
            assert!(!text(&output.stderr).contains("panicked"));
        }
    }
}

#[test]
fn a_dry_run_counts_every_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture_file(&folder, "a.pcap", &capture(100));
    let output = run(&["replay", "--dry-run", "--format", "json", path.to_str().unwrap()]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let summary = json(&output);
    assert_balances(&summary);
    assert_eq!(summary["frames"], 101);
    assert_eq!(summary["stored_packets"], 100);
    assert_eq!(summary["no_ip"]["0x0806"], 1);
    assert_eq!(summary["batches"], 1);
    assert_eq!(summary["files"][0]["frames"], 101);
    assert_eq!(summary["files"][0]["error"], Value::Null);
}

#[test]
fn the_summary_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture_file(&folder, "a.pcap", &capture(1234));
    let output = run(&["replay", "--dry-run", path.to_str().unwrap()]);
    assert_golden("dry-run.txt", &text(&output.stdout));
}

#[test]
fn a_damaged_file_does_not_keep_others_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let whole = capture(10);
    let cut = capture_file(&folder, "cut.pcap", &whole[..whole.len() - 7]);
    let foreign = capture_file(&folder, "foreign.txt", b"this is no capture, only text\n");
    let empty = capture_file(&folder, "empty.pcap", b"");
    let good = capture_file(&folder, "good.pcap", &whole);
    let missing = folder.path().join("missing.pcap");
    let paths = [&cut, &foreign, &empty, &missing, &good].map(|path| path.to_str().unwrap().to_owned());
    let mut args = vec!["replay", "--dry-run", "--format", "json"];
    args.extend(paths.iter().map(String::as_str));
    let output = run(&args);
    assert_eq!(output.status.code(), Some(1));
    let summary = json(&output);
    assert_balances(&summary);
    let frames: Vec<u64> =
        summary["files"].as_array().unwrap().iter().map(|file| file["frames"].as_u64().unwrap()).collect();
    assert_eq!(frames, [10, 0, 0, 0, 11]);
    let stderr = text(&output.stderr);
    for name in ["cut.pcap", "foreign.txt", "empty.pcap", "missing.pcap"] {
        assert!(stderr.contains(name), "{name}: {stderr}");
    }
    // The damaged packet's record begins after the file's header and ten packets.
    assert!(stderr.contains(&(24 + 10 * 76).to_string()), "{stderr}");
    assert!(!stderr.contains("good.pcap"), "{stderr}");
}

#[test]
fn without_an_analyzer_it_says_what_remains() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture_file(&folder, "a.pcap", &capture(100));
    // Nobody listens on port 1.
    let url = "http://127.0.0.1:1";
    let args = ["replay", "--format", "json", "--timeout", "1s", "--analyzer", url, path.to_str().unwrap()];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(1));
    let summary = json(&output);
    assert_balances(&summary);
    assert_eq!(summary["lost"]["unacknowledged"], 101);
    assert_eq!(summary["stored_packets"], 0);
    assert_eq!(summary["batches"], 0);
    let stderr = text(&output.stderr);
    assert!(stderr.contains(url) && stderr.contains("iotq-analyzer serve"), "{stderr}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = capture_file(&folder, "a.pcap", &capture(3));
    for args in [vec!["replay", "--dry-run", path.to_str().unwrap()], vec!["interfaces"], vec!["--help"]] {
        let mut child = program().args(&args).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success(), "{args:?}");
    }
}

#[test]
fn a_signal_ends_reading_standard_input_with_an_honest_summary() {
    for signal in ["TERM", "INT"] {
        let mut child = program()
            .args(["replay", "--dry-run", "--format", "json", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than is read at once, so that something was read when we ask.
        stdin.write_all(&capture(20_000)).unwrap();
        stdin.flush().unwrap();
        sleep(Duration::from_millis(500));
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let (status, stdout) = end_of(&mut child, Duration::from_secs(15));
        drop(stdin);
        assert_eq!(status, Some(1), "{stdout}");
        let summary: Value = serde_json::from_str(stdout.trim()).unwrap();
        assert_balances(&summary);
        assert!(summary["frames"].as_u64().unwrap() > 0, "{summary}");
        assert!(!summary["files"][0]["error"].is_null(), "{summary}");
    }
}

/// Waits for the end and returns status and stdout.
fn end_of(child: &mut Child, limit: Duration) -> (Option<i32>, String) {
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "still running");
        sleep(Duration::from_millis(20));
    };
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    (status.code(), stdout)
}

#[test]
fn interfaces_are_listed_as_json_too() {
    let output = run(&["interfaces", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(json(&output)["interfaces"].is_array());
}
