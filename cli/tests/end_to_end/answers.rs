//! Complete answers, large ones, and readers that stop reading.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tonic::transport::Server;

use crate::analyzer::{FakeAnalyzer, answer, iotq, packets, run};

#[test]
fn all_packets_of_a_large_answer_arrive() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(answer(packets(100_000))))?;
    for (format, lines) in [("table", 100_000), ("jsonl", 100_000), ("csv", 100_001), ("json", 100_002)] {
        let ended = run(analyzer.address, &format!("packets -n 0 --since all --format {format}"))?;
        assert_eq!((ended.status, ended.out.lines().count()), (Some(0), lines), "{format}");
        assert_eq!(ended.notes, "");
    }
    Ok(())
}

#[test]
fn a_reader_that_goes_away_is_no_failure() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(answer(packets(100_000))))?;
    for format in ["table", "json", "jsonl", "csv"] {
        let mut child = iotq(analyzer.address, &format!("packets -n 0 --format {format}")).spawn()?;
        let mut out = BufReader::with_capacity(1024, child.stdout.take().context("stdout")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        drop(out);
        let mut notes = String::new();
        child.stderr.take().context("stderr")?.read_to_string(&mut notes)?;
        assert_eq!((child.wait()?.code(), notes.as_str()), (Some(0), ""), "{format}");
        assert!(!line.is_empty());
    }
    Ok(())
}

#[test]
fn a_reader_that_pauses_does_not_lose_the_connection() -> Result<()> {
    // The analyzer gives up a peer that leaves a ping unanswered for a moment;
    // a pager that shows the first page leaves the pipe full for much longer.
    let moment = Some(Duration::from_millis(200));
    let server = Server::builder().http2_keepalive_interval(moment).http2_keepalive_timeout(moment);
    let analyzer = FakeAnalyzer::start_with(server, |_| Ok(answer(packets(100_000))))?;
    let mut child = iotq(analyzer.address, "packets -n 0 --format jsonl").spawn()?;
    let out = BufReader::new(child.stdout.take().context("stdout")?);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(out.lines().count(), 100_000);
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn an_empty_answer_is_no_failure() -> Result<()> {
    let analyzer = FakeAnalyzer::start(|_| Ok(answer(std::iter::empty())))?;
    for question in "top-talkers devices destinations conversations connections timeline packets unanswered keepalives \
                     dns tls time-servers first-seen groups"
        .split_whitespace()
    {
        let ended = run(analyzer.address, &format!("{question} --since all"))?;
        assert_eq!((ended.status, ended.out.as_str()), (Some(0), ""), "{question}");
        assert_eq!(ended.notes, "note: nothing matched at any time\n", "{question}");
    }
    Ok(())
}
