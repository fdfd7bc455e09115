//! `packets --follow`: lines when they come, until the user stops it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::analyzer::{FakeAnalyzer, endless, iotq, packets};

/// Starts following, reads what two messages hold, sends the signal.
fn followed(format: &str, lines: usize, signal: &str) -> Result<(Option<i32>, String)> {
    let analyzer = FakeAnalyzer::start(|_| Ok(endless(packets(2000), Duration::from_millis(100))))?;
    let mut child = iotq(analyzer.address, &format!("packets --follow --format {format}")).spawn()?;
    let mut out = BufReader::new(child.stdout.take().context("stdout")?);
    let mut text = String::new();
    for _ in 0..lines {
        // Would wait for ever if the lines were kept in a buffer.
        out.read_line(&mut text)?;
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status()?;
    out.read_to_string(&mut text)?;
    let mut notes = String::new();
    child.stderr.take().context("stderr")?.read_to_string(&mut notes)?;
    assert_eq!(notes, "");
    Ok((child.wait()?.code(), text))
}

#[test]
fn a_signal_ends_it_well() -> Result<()> {
    for (format, lines) in [("table", 2000), ("jsonl", 2000), ("csv", 2001)] {
        for signal in ["-INT", "-TERM"] {
            let (status, text) = followed(format, lines, signal)?;
            assert_eq!((status, text.lines().count()), (Some(0), lines), "{format} {signal}");
        }
    }
    Ok(())
}

#[test]
fn json_is_whole_when_it_was_stopped() -> Result<()> {
    // The line of the last row has no end before the next one begins.
    let (status, text) = followed("json", 2000, "-INT")?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    assert_eq!((status, json["rows"].as_array().map(Vec::len)), (Some(0), Some(2000)));
    Ok(())
}

#[test]
fn silence_is_normal() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(endless(packets(1), Duration::ZERO)))?;
    let mut child = iotq(analyzer.address, "packets --follow --timeout 200ms").spawn()?;
    let mut out = BufReader::new(child.stdout.take().context("stdout")?);
    out.read_line(&mut String::new())?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(800) {
        assert!(child.try_wait()?.is_none(), "it gave up");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[test]
fn the_analyzers_end_is_a_failure() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(endless(packets(1), Duration::ZERO)))?;
    let mut child = iotq(analyzer.address, "packets --follow").spawn()?;
    let mut out = BufReader::new(child.stdout.take().context("stdout")?);
    out.read_line(&mut String::new())?;
    drop(analyzer);
    assert_eq!(child.wait()?.code(), Some(1));
    Ok(())
}
