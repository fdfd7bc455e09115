//! What `serve` says when it cannot, and an external server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// `serve` with these arguments, and free ports, until it ends by itself.
fn serve(args: &[&str]) -> Output {
    let mut command = Command::new(common::program());
    command.arg("serve").args(args);
    // Flags win over these.
    command.env("IOTQ_LISTEN", "127.0.0.1:0").env("IOTQ_HTTP_LISTEN", "127.0.0.1:0");
    // Without the tables of networks, which take seconds to load.
    command.env("IOTQ_CACHE", "/nonexistent");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "serve {args:?} goes on");
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// Its last line, if it failed as it should.
fn complaint(args: &[&str]) -> String {
    let output = serve(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_missing_engine_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let said = complaint(&["--engine", "/nowhere/libchdb.so", "--data-dir", dir.path().to_str().unwrap()]);
    assert!(said.contains("/nowhere/libchdb.so") && said.contains("make engine"), "{said}");
}

#[test]
fn a_file_that_is_no_engine_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let fake = dir.path().join("libchdb.so");
    fs::write(&fake, "not an engine").unwrap();
    let data = dir.path().join("data");
    let said = complaint(&["--engine", fake.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]);
    assert!(said.contains("is no ClickHouse engine for this machine"), "{said}");
}

#[test]
fn a_taken_port_is_said_with_the_flag() {
    let Some(library) = common::library() else { return };
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = complaint(&["--listen", &address, "--engine", library.to_str().unwrap()]);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn other_addresses_than_loopback_need_a_flag() {
    let said = complaint(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("--insecure-plaintext"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let Some(library) = common::library() else { return };
    let said = complaint(&["--engine", library.to_str().unwrap(), "--data-dir", "/proc/iotq"]);
    assert!(said.contains("/proc/iotq") && said.contains("--data-dir"), "{said}");
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let said = complaint(&["--clickhouse-url", &format!("http://{free}")]);
    assert!(said.contains("no ClickHouse answers") && said.contains(&free.to_string()), "{said}");
}

#[test]
fn a_url_that_is_none_is_refused() {
    for url in ["clickhouse:9000", "ftp://localhost", "http://"] {
        let said = complaint(&["--clickhouse-url", url]);
        assert!(said.contains("no ClickHouse URL"), "{url}: {said}");
    }
}

/// Old releases cannot be had here: a listener that answers as one.
#[test]
fn a_server_too_old_is_refused_with_the_version_needed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().take(4) {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            // RowBinaryWithNamesAndTypes: one column `version()` of String.
            let body = b"\x01\x09version()\x06String\x0a23.3.1.289";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        }
    });
    let said = complaint(&["--clickhouse-url", &url]);
    assert!(said.contains("23.3.1.289") && said.contains("24.8"), "{said}");
}

/// A ClickHouse server of its own: the engine with a user and a plain port.
struct External {
    child: Child,
    url: String,
}

impl External {
    fn start(library: &Path, dir: &Path) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let users = dir.join("users.xml");
        let config = dir.join("config.xml");
        fs::write(
            &users,
            "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>\
             <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>\
             <alice><password>secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></alice>\
             </users></clickhouse>",
        )
        .unwrap();
        fs::write(
            &config,
            format!(
                "<clickhouse><listen_host>127.0.0.1</listen_host><http_port>{port}</http_port>\
                 <users_config>{}</users_config></clickhouse>",
                users.display()
            ),
        )
        .unwrap();
        let child = Command::new(common::program())
            .arg("engine")
            .arg("--library")
            .arg(library)
            .arg("--config")
            .arg(&config)
            .arg("--path")
            .arg(dir.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "the engine does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for External {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_external_server_is_used_with_the_right_password_only() {
    let Some(library) = common::library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = External::start(&library, dir.path());
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "guess\n").unwrap();
    let login = ["--clickhouse-url", &server.url, "--clickhouse-user", "alice", "--clickhouse-password-file"];
    let said = complaint(&[&login[..], &[wrong.to_str().unwrap()]].concat());
    assert!(said.contains("refuses user `alice`"), "{said}");

    let right = dir.path().join("right");
    fs::write(&right, "secret\n").unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let http = listener.local_addr().unwrap();
    drop(listener);
    let mut serving = Command::new(common::program())
        .args(["serve", "--listen", "127.0.0.1:0", "--http-listen", &http.to_string()])
        .args(login)
        .arg(&right)
        // Without the tables of networks, which take seconds to load.
        .env("IOTQ_CACHE", "/nonexistent")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let ready = || -> Option<bool> {
        let mut stream = TcpStream::connect(http).ok()?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: iotq\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.starts_with("HTTP/1.1 200"))
    };
    while ready() != Some(true) {
        assert!(serving.try_wait().unwrap().is_none(), "serve ended");
        assert!(Instant::now() < deadline, "serve is not ready");
        thread::sleep(Duration::from_millis(50));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(serving.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(serving.wait().unwrap().success());
}
