//! Settings in files, read again at SIGHUP, and what the collector tells about itself.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use iotq_tests::system::{
    Analyzer, Namespace, PATIENCE, Process, Setup, can_capture, eventually, has_engine, program, run,
};

/// What is answered in the collector's network.
fn asked(namespace: &Namespace, port: u16, path: &str) -> Option<String> {
    namespace.inside(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    })
}

fn value(text: &str, metric: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("iotq_collector_{metric} ")));
    line.unwrap_or_else(|| panic!("no {metric} in\n{text}")).parse().unwrap()
}

#[test]
fn a_collector_takes_over_what_it_can_and_names_what_it_cannot() {
    if !can_capture() || !has_engine() {
        return;
    }
    let namespace = Namespace::new();
    let analyzer = Analyzer::start(Setup { names: None, namespace: Some(namespace.clone()), ..Setup::default() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.toml");
    let spool = folder.path().join("spool");
    let fixed = format!(
        "interface = '{}'\nname = 'attic'\nspool-dir = '{}'\nhttp-listen = '127.0.0.1:0'\nlog-format = 'json'\n",
        Namespace::MIRROR,
        spool.display()
    );
    let write = |text: &str| fs::write(&path, format!("{fixed}{text}")).unwrap();
    write("analyzer = 'http://127.0.0.1:9'\n");
    let mut command = namespace.command(&program("iotq-collector"));
    let mut process = Process::start(command.args(["run", "--config"]).arg(&path));
    let port = eventually("it listens", || {
        assert!(process.is_running(), "{}", process.stderr());
        let line = process.stderr().lines().find(|line| line.contains("health and metrics"))?.to_owned();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["http"].as_str()?.rsplit_once(':')?.1.parse::<u16>().ok()
    });
    eventually("it cannot reach anybody", || process.stderr().contains("analyzer out of reach").then_some(()));
    let health = eventually("it answers", || asked(&namespace, port, "/healthz"));
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let metrics = asked(&namespace, port, "/metrics").unwrap();
    assert_eq!((value(&metrics, "uplink_connected"), value(&metrics, "interfaces")), (0, 1));
    assert_eq!((value(&metrics, "spool_present"), value(&metrics, "spool_degraded")), (1, 0));
    assert!(
        value(&metrics, "uplink_disconnects_total") >= 1 && value(&metrics, "log_warnings_total") >= 1,
        "{metrics}"
    );

    // A file that is wrong changes nothing, and its place is told.
    write("analyzr = 'http://127.0.0.1:9'\n");
    process.hang_up();
    eventually("the error is told", || {
        process.stderr().contains("line 6: unknown key `analyzr`; the nearest one is `analyzer`").then_some(())
    });
    // One that is right is taken over, without a new start.
    write(&format!("analyzer = '{}'\nsnaplen = 2000\n", analyzer.url()));
    process.hang_up();
    eventually("it is connected", || analyzer.status_of("attic").filter(|status| status["connected"] == true));
    let log = process.stderr();
    assert!(log.contains("\"changed\":\"analyzer\""), "{log}");
    assert!(log.contains("\"settings\":\"snaplen\""), "{log}");
    let metrics = asked(&namespace, port, "/metrics").unwrap();
    assert_eq!((value(&metrics, "uplink_connected"), value(&metrics, "uplink_connects_total")), (1, 1));
    assert_eq!((value(&metrics, "reloads_total"), value(&metrics, "reloads_failed_total")), (1, 1));
    assert_eq!((value(&metrics, "settings_waiting"), value(&metrics, "log_errors_total")), (1, 1));
    process.terminate();
    process.wait(PATIENCE).assert_code(0);
}

#[test]
fn an_analyzer_takes_over_what_it_can_and_names_what_it_cannot() {
    if !has_engine() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("analyzer.toml");
    let (names, data) = (folder.path().join("names"), folder.path().join("data"));
    fs::write(&names, "00:00:5e:00:53:01, Plug\n").unwrap();
    let fixed = format!(
        "listen = '127.0.0.1:0'\nhttp-listen = '127.0.0.1:0'\ndata-dir = '{}'\nlog-format = 'json'\n",
        data.display()
    );
    let write = |text: &str| fs::write(&path, format!("{fixed}{text}")).unwrap();
    write("retention-days = 7\n");
    let mut command = std::process::Command::new(program("iotq-analyzer"));
    let mut process = Process::start(command.args(["serve", "--config"]).arg(&path));
    eventually("it serves", || {
        assert!(process.is_running(), "{}", process.stderr());
        process.stderr().contains("\"message\":\"serving\"").then_some(())
    });
    write("retention-days = '7'\n");
    process.hang_up();
    eventually("the error is told", || {
        process.stderr().contains("line 5: `retention-days` has to be a whole number, not a text").then_some(())
    });
    write(&format!("retention-days = 8\nnames = '{}'\n", names.display()));
    process.hang_up();
    eventually("it is taken over", || {
        let log = process.stderr();
        let is_told = log.contains("\"changed\":\"names\"") && log.contains("\"settings\":\"retention-days\"");
        (is_told && log.contains("names read again")).then_some(())
    });
    process.terminate();
    process.wait(PATIENCE).assert_code(0);
}

#[test]
fn a_file_that_is_wrong_is_a_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.toml");
    fs::write(&path, "# mine\nanalyzers = 'http://127.0.0.1:9'\n").unwrap();
    for (name, word) in [("iotq-collector", "interfaces"), ("iotq-analyzer", "serve"), ("iotq", "status")] {
        let mut command = std::process::Command::new(program(name));
        let finished = run(command.arg(word).env("IOTQ_CONFIG", &path), PATIENCE);
        finished.assert_code(2);
        let expected = format!("{}, line 2: unknown key `analyzers`; the nearest one is `", path.display());
        assert!(finished.stderr.contains(&expected), "{name}: {}", finished.stderr);
    }
}

#[test]
fn empty_variables_are_none_and_wrong_ones_are_named() {
    let set = |name: &str, words: &[&str], variable: &str, value: &str| {
        run(std::process::Command::new(program(name)).args(words).env(variable, value), PATIENCE)
    };
    for (name, words) in [("iotq-collector", &["interfaces"][..]), ("iotq", &["completions", "bash"])] {
        set(name, words, "IOTQ_FORMAT", "").assert_code(0);
        let wrong = set(name, words, "IOTQ_FORMAT", "xml");
        wrong.assert_code(2);
        assert!(wrong.stderr.contains("tip: IOTQ_FORMAT is set in the environment"), "{name}: {}", wrong.stderr);
        let typed = set(name, &[words, &["--format", "xml"]].concat(), "IOTQ_FORMAT", "json");
        typed.assert_code(2);
        assert!(!typed.stderr.contains("IOTQ_FORMAT"), "{name}: {}", typed.stderr);
    }
    let wrong = set("iotq-analyzer", &["serve"], "IOTQ_LOG_FORMAT", "xml");
    wrong.assert_code(2);
    assert!(wrong.stderr.contains("tip: IOTQ_LOG_FORMAT is set"), "{}", wrong.stderr);
}
