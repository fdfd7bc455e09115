//! Who may do what, with real certificates over real sockets: the right ones go
//! through, all others are told what to do.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use iotq_analyzer::pki::{Pki, Role};
use iotq_tests::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Span, household},
    system::{Analyzer, Finished, PATIENCE, Setup, eventually, has_engine, program, replay, run},
};
use tempfile::TempDir;

const SPAN: Span = Span { since_ns: 1_790_000_000_000_000_000, until_ns: 1_790_000_000_000_000_000 + 5 * MINUTE_NS };

/// An analyzer with an authority, and a folder for what it issues.
struct Guarded {
    analyzer: Analyzer,
    folder: TempDir,
    capture: PathBuf,
    frames: u64,
}

impl Guarded {
    fn new() -> Self {
        let analyzer = Analyzer::absent(Setup::default());
        let folder = tempfile::tempdir().unwrap();
        let scenario = household(SPAN, 1);
        let capture = folder.path().join("five-minutes.pcap");
        let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
        for frame in &scenario.frames {
            writer.write(frame.at_ns, &frame.octets).unwrap();
        }
        fs::write(&capture, writer.finish().unwrap()).unwrap();
        let mut guarded = Self { analyzer, folder, capture, frames: scenario.expected.frames };
        guarded.pki(&["init", "--host", "localhost"]).assert_code(0);
        for (role, name) in [("collector", "attic"), ("reader", "anna"), ("admin", "root")] {
            guarded.issue(role, name, &[]);
        }
        guarded.analyzer.restart();
        guarded
    }

    fn pki(&self, words: &[&str]) -> Finished {
        let mut command = Command::new(program("iotq-analyzer"));
        command.current_dir(self.folder.path()).arg("pki").args(words).arg("--data-dir").arg(self.analyzer.data_dir());
        run(&mut command, PATIENCE)
    }

    fn issue(&self, role: &str, name: &str, flags: &[&str]) {
        self.pki(&[&["issue", role, name], flags].concat()).assert_code(0);
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        self.analyzer.url().replace("http://127.0.0.1", "https://localhost")
    }

    /// Replays as `name`, and returns what was said.
    fn send(&self, name: &str, flags: &[&str]) -> Finished {
        let flags = [&["--name", name, "--timeout", "3s"], flags].concat();
        replay(&self.url(), &[&self.capture], &flags).finished
    }

    fn ask(&self, words: &[&str], flags: &[&str]) -> Finished {
        let mut command = Command::new(program("iotq"));
        command.args(words).args(["--analyzer", &self.url()]).args(flags);
        run(&mut command, PATIENCE)
    }
}

#[track_caller]
fn refused(finished: &Finished, reason: &str) {
    assert!(matches!(finished.code(), Some(1 | 2)), "{finished:?}");
    assert!(finished.stderr.contains(reason), "`{reason}` is not in: {}", finished.stderr);
}

#[test]
fn each_role_does_what_it_may_and_nothing_else() {
    if !has_engine() {
        return;
    }
    let guarded = Guarded::new();
    let [attic, anna, root] = ["attic.pem", "anna.pem", "root.pem"].map(|name| guarded.file(name));
    let talkers = ["top-talkers", "--since", "all"];
    let naming = ["device", "192.168.7.64", "set", "--name", "hoover"];

    guarded.send("attic", &["--tls", &attic]).assert_code(0);
    refused(&guarded.send("cellar", &["--tls", &attic]), "for collector `attic`, not for `cellar`: --name attic");
    refused(&guarded.send("anna", &["--tls", &anna]), "`anna` is reader; this takes collector");
    refused(&guarded.ask(&talkers, &["--tls", &attic]), "`attic` is collector; this takes reader or admin");
    guarded.ask(&talkers, &["--tls", &anna]).assert_code(0);
    guarded.ask(&talkers, &["--tls", &root]).assert_code(0);
    refused(&guarded.ask(&naming, &["--tls", &anna]), "`anna` is reader; this takes admin");
    guarded.ask(&naming, &["--tls", &root]).assert_code(0);
    // What removes data, last: a reader and a collector leave everything as it is.
    let forgetting = ["forget", "--device", "02:00:5e:00:53:99", "--yes"];
    for (file, name) in [(&anna, "`anna` is reader"), (&attic, "`attic` is collector")] {
        refused(&guarded.ask(&forgetting, &["--tls", file]), &format!("{name}; this takes admin"));
    }
    guarded.ask(&forgetting, &["--tls", &root]).assert_code(0);

    // Plain text is nobody's way round, on loopback either: whoever is on this host could name and forget.
    for words in [&talkers[..], &naming, &forgetting] {
        let mut command = Command::new(program("iotq"));
        command.args(words).args(["--analyzer", &guarded.analyzer.url()]);
        refused(&run(&mut command, PATIENCE), "https://");
    }
    let plain = replay(&guarded.analyzer.url(), &[&guarded.capture], &["--name", "attic", "--timeout", "3s"]);
    refused(&plain.finished, "https://");

    let status = guarded.ask(&["status", "--format", "json"], &["--tls", &anna]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["rows"][0]["collectors"][0]["frames"], guarded.frames);
    assert!(status["rows"][0]["certificate_expires_at"].is_string(), "{status}");

    // Tokens, where a certificate cannot be shown.
    guarded.issue("reader", "grafana", &["--token"]);
    guarded.issue("collector", "cellar", &["--token"]);
    let (ca, token, cellar) =
        (guarded.analyzer.data_dir().join("pki/ca.pem"), guarded.file("grafana.token"), guarded.file("cellar.token"));
    let ca = ca.to_str().unwrap();
    eventually("the tokens are known", || {
        (guarded.ask(&talkers, &["--tls-ca", ca, "--token-file", &token]).code() == Some(0)).then_some(())
    });
    refused(&guarded.ask(&naming, &["--tls-ca", ca, "--token-file", &token]), "this takes admin");
    guarded.send("cellar", &["--tls-ca", ca, "--token-file", &cellar]).assert_code(0);
    refused(&guarded.send("attic", &["--tls-ca", ca, "--token-file", &cellar]), "not for `attic`");
    let forged = guarded.file("forged.token");
    fs::write(&forged, "iotq_0123456789abcdef").unwrap();
    fs::set_permissions(&forged, fs::Permissions::from_mode(0o600)).unwrap();
    refused(&guarded.ask(&talkers, &["--tls-ca", ca, "--token-file", &forged]), "not issued here");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    if !has_engine() {
        return;
    }
    let guarded = Guarded::new();
    let (attic, anna) = (guarded.file("attic.pem"), guarded.file("anna.pem"));
    let ca = guarded.analyzer.data_dir().join("pki/ca.pem");
    let talkers = ["top-talkers", "--since", "all"];

    // None, none that is known, one of somebody else.
    refused(
        &guarded.ask(&talkers, &["--tls-ca", ca.to_str().unwrap()]),
        "it wants a certificate or a token: --tls FILE",
    );
    refused(
        &guarded.send("attic", &["--tls-ca", ca.to_str().unwrap()]),
        "it wants a certificate or a token: --tls FILE",
    );
    refused(&guarded.ask(&talkers, &[]), "--tls FILE or --tls-ca FILE says which");
    let other = Analyzer::absent(Setup::default());
    let mut command = Command::new(program("iotq-analyzer"));
    command.current_dir(guarded.folder.path()).args(["pki", "init", "--host", "localhost", "--data-dir"]);
    run(command.arg(other.data_dir()), PATIENCE).assert_code(0);
    let mut command = Command::new(program("iotq-analyzer"));
    command.current_dir(guarded.folder.path()).args(["pki", "issue", "reader", "eve", "--data-dir"]);
    run(command.arg(other.data_dir()), PATIENCE).assert_code(0);
    let eve = guarded.file("eve.pem");
    refused(&guarded.ask(&talkers, &["--tls", &eve]), "of no authority that is trusted here");
    refused(
        &guarded.ask(&talkers, &["--tls-ca", ca.to_str().unwrap(), "--tls-cert", &eve, "--tls-key", &eve]),
        "is of an authority that this analyzer does not know",
    );

    // As old as it gets.
    let old = Pki::at(guarded.analyzer.data_dir().join("pki")).issue(Role::Reader, "old", 0).unwrap();
    let expired = guarded.file("old.pem");
    fs::write(&expired, old.secret).unwrap();
    fs::set_permissions(&expired, fs::Permissions::from_mode(0o600)).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    refused(&guarded.ask(&talkers, &["--tls", &expired]), "the certificate has expired");

    // Revoked: for the next call, and for a stream that is open.
    guarded.pki(&["revoke", "anna"]).assert_code(0);
    eventually("anna is refused", || {
        let finished = guarded.ask(&talkers, &["--tls", &anna]);
        (finished.code() == Some(1)).then(|| refused(&finished, "`anna` was revoked"))
    });
    guarded.send("attic", &["--tls", &attic]).assert_code(0);
    guarded.pki(&["revoke", "attic"]).assert_code(0);
    eventually("attic is refused", || {
        let finished = guarded.send("attic", &["--tls", &attic]);
        (finished.code() == Some(1)).then(|| refused(&finished, "`attic` was revoked"))
    });
}

#[test]
fn idle_connections_and_garbage_disturb_nobody() {
    if !has_engine() {
        return;
    }
    let guarded = Guarded::new();
    let address = guarded.analyzer.url().replace("http://", "");
    let idle: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut garbage = TcpStream::connect(&address).unwrap();
    garbage.write_all(&[22; 4096]).unwrap();
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let anna = guarded.file("anna.pem");
    guarded.send("attic", &["--tls", &guarded.file("attic.pem")]).assert_code(0);
    guarded.ask(&["top-talkers", "--since", "all"], &["--tls", &anna]).assert_code(0);
    // All of them are closed within the limit of a handshake.
    let mut closed = 0;
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        closed += usize::from(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert_eq!(closed, 1000);
}

#[test]
fn secrets_are_for_their_owner_and_are_not_overwritten() {
    let analyzer = Analyzer::absent(Setup::default());
    let folder = tempfile::tempdir().unwrap();
    let pki = |words: &[&str]| {
        let mut command = Command::new(program("iotq-analyzer"));
        command.current_dir(folder.path()).arg("pki").args(words).arg("--data-dir").arg(analyzer.data_dir());
        run(&mut command, PATIENCE)
    };
    refused(&pki(&["issue", "reader", "anna"]), "pki init --host");
    pki(&["init", "--host", "localhost"]).assert_code(0);
    refused(&pki(&["init", "--host", "localhost"]), "nothing was changed");
    pki(&["issue", "reader", "anna"]).assert_code(0);
    refused(&pki(&["issue", "reader", "anna"]), "nothing was written");
    refused(&pki(&["issue", "reader", "a/b"]), "cannot be a name");
    refused(&pki(&["revoke", "nobody"]), "nothing valid was issued");
    let is_private = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0;
    assert!(is_private(&folder.path().join("anna.pem")));
    for entry in fs::read_dir(analyzer.data_dir().join("pki")).unwrap().flatten() {
        assert!(is_private(&entry.path()), "{}", entry.path().display());
    }
    let listed = pki(&["list"]);
    assert!(listed.stdout.contains("reader     anna"), "{}", listed.stdout);

    let anna = folder.path().join("anna.pem");
    fs::set_permissions(&anna, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new(program("iotq"));
    command.args(["status", "--analyzer", "https://localhost:9", "--tls"]).arg(&anna);
    refused(&run(&mut command, PATIENCE), "can be read by every user of this host");
}
