//! Analyzers that are not there, refuse, stay silent, or die.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::analyzer::{Ended, FakeAnalyzer, answer, endless, header, iotq, message, packets, run};

/// Failed with one line that says this.
fn assert_failed(ended: &Ended, says: &str) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.notes.starts_with("error: ") && ended.notes.lines().count() == 1, "{ended:?}");
    assert!(ended.notes.contains(says), "{ended:?}");
    assert!(!ended.notes.trim_end().chars().any(char::is_control), "{ended:?}");
}

#[test]
fn without_an_analyzer_it_says_what_to_start() -> Result<()> {
    // Bound and let go: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for format in ["table", "json", "jsonl", "csv"] {
        let ended = run(address, &format!("devices --format {format}"))?;
        assert_failed(&ended, &format!("no analyzer answers at http://{address}: is `iotq-analyzer serve` running?"));
        assert_eq!(ended.out, "");
    }
    Ok(())
}

#[test]
fn every_status_becomes_one_line() -> Result<()> {
    for code in 1..=16 {
        let code = Code::from(code);
        let analyzer = FakeAnalyzer::start(move |_| Err(Status::new(code, "because\x1b[2J of\nthis")))?;
        let ended = run(analyzer.address, "devices")?;
        assert_failed(&ended, "because\\x1b[2J of\\nthis");
        assert_eq!(ended.out, "");
    }
    Ok(())
}

#[test]
fn a_status_after_rows_is_a_failure_too() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| {
        let broken = tokio_stream::once(Err(Status::internal("disk on fire")));
        Ok(Box::pin(tokio_stream::iter([message(header())]).chain(broken)))
    })?;
    assert_failed(&run(analyzer.address, "devices --format json")?, "the analyzer failed: disk on fire");
    Ok(())
}

#[test]
fn an_answer_without_an_end_is_incomplete() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(Box::pin(answer(packets(10)).take(2))))?;
    let ended = run(analyzer.address, "packets --format jsonl")?;
    assert_failed(&ended, "ended its answer too early");
    assert_eq!(ended.out.lines().count(), 10);
    Ok(())
}

#[test]
fn an_answer_without_a_beginning_makes_no_sense() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(Box::pin(answer(packets(10)).skip(1))))?;
    assert_failed(&run(analyzer.address, "packets")?, "makes no sense: no header");
    Ok(())
}

#[test]
fn an_analyzer_that_dies_in_mid_answer_leaves_an_incomplete_one() -> Result<()> {
    for format in ["jsonl", "json", "table", "csv"] {
        let analyzer = FakeAnalyzer::start(|_| Ok(endless(packets(1_000_000), Duration::ZERO)))?;
        let mut child = iotq(analyzer.address, &format!("packets -n 0 --format {format}")).spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("stdout")?);
        out.read_line(&mut String::new())?;
        drop(analyzer);
        let mut rest = String::new();
        out.read_to_string(&mut rest)?;
        let mut notes = String::new();
        child.stderr.take().context("stderr")?.read_to_string(&mut notes)?;
        let ended = Ended { status: child.wait()?.code(), out: String::new(), notes };
        assert_failed(&ended, "broke, the answer is incomplete");
        // Nobody can take it for the whole answer.
        assert!(!rest.contains("truncated"));
    }
    Ok(())
}

#[test]
fn a_silent_analyzer_is_given_up() -> Result<()> {
    for script in ["no answer", "a header alone"] {
        let analyzer = FakeAnalyzer::start(move |_| {
            let silence = tokio_stream::pending();
            Ok(if script == "no answer" { Box::pin(silence) } else { endless(packets(0), Duration::ZERO) })
        })?;
        let started = Instant::now();
        let ended = run(analyzer.address, "devices --timeout 300ms")?;
        assert_failed(&ended, "was silent for 300ms");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    Ok(())
}

#[test]
fn a_slow_analyzer_is_waited_for() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(Box::pin(answer(packets(5_000)).throttle(Duration::from_millis(150)))))?;
    // Longer than the time-out in all, but never silent for so long.
    let ended = run(analyzer.address, "packets -n 0 --timeout 500ms --format jsonl")?;
    assert_eq!((ended.status, ended.out.lines().count()), (Some(0), 5_000));
    Ok(())
}

#[test]
fn what_does_not_speak_grpc_is_named() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 64];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    assert_failed(&run(address, "devices --timeout 5s")?, "is this the analyzer's gRPC address, and is it http://");
    Ok(())
}
