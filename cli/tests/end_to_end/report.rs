//! `report` writes one page, and overwrites none; `man` writes pages.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};
use iotq_proto::v1::{Device, Rows, question::Ask};
use tonic::Status;

use crate::analyzer::{FakeAnalyzer, answer, iotq, run};

fn analyzer() -> Result<FakeAnalyzer> {
    FakeAnalyzer::start(|question| {
        let devices = match question.ask {
            Some(Ask::Devices(_)) => vec![Device { device: "d".into(), name: "A <b>lamp".into(), ..Device::default() }],
            _ => Vec::new(),
        };
        Ok(answer(std::iter::once(Rows { devices, ..Rows::default() })))
    })
}

#[test]
fn a_week_is_asked_for_with_every_question_once() -> Result<()> {
    let analyzer = analyzer()?;
    let ended = run(analyzer.address, "report -o - --group iot")?;
    assert_eq!((ended.status, ended.notes.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.out.starts_with("<!DOCTYPE html>") && ended.out.contains("A &#60;b&#62;lamp"), "{}", ended.out);
    let asked = analyzer.asked();
    let kinds: BTreeSet<_> =
        asked.iter().filter_map(|it| it.ask.as_ref()).map(std::mem::discriminant).map(|it| format!("{it:?}")).collect();
    assert_eq!((kinds.len(), asked.len()), (11, 11));
    for question in asked {
        let selection = question.selection.context("selection")?;
        let (since, until) = (selection.since_ns.context("since")?, selection.until_ns.context("until")?);
        // It begins with a whole hour.
        let hour = 3_600_000_000_000;
        assert!((7 * 24 * hour..7 * 24 * hour + hour).contains(&(until - since)) && since % hour == 0);
        assert_eq!(selection.groups, ["iot"]);
        assert!(selection.limit > 0, "no answer may grow without end");
        if let Some(Ask::Diff(diff)) = question.ask {
            let before = since - (until - since);
            assert_eq!((diff.against_since_ns, diff.against_until_ns), (before - before % hour, since));
        }
    }
    Ok(())
}

#[test]
fn no_file_is_overwritten_unless_told() -> Result<()> {
    let (analyzer, dir) = (analyzer()?, tempfile::tempdir()?);
    let report = |line: &str| iotq(analyzer.address, line).current_dir(dir.path()).output();
    let first = report("report --since all")?;
    let notes = String::from_utf8(first.stderr)?;
    assert_eq!((first.status.code(), first.stdout.len()), (Some(0), 0), "{notes}");
    let name = notes.trim_end().strip_prefix("wrote ").context(notes.clone())?;
    let date = name.strip_prefix("iotq-report-").and_then(|rest| rest.strip_suffix(".html")).context("a date")?;
    assert!(date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
    fs::write(dir.path().join(name), "mine")?;
    let asked = analyzer.asked().len();
    let second = report("report --since all")?;
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr)?.contains("exists; --force overwrites it"));
    assert_eq!(analyzer.asked().len(), asked, "nothing is asked in vain");
    assert_eq!(fs::read_to_string(dir.path().join(name))?, "mine");
    assert_eq!(report("report --since all --force")?.status.code(), Some(0));
    assert!(fs::read_to_string(dir.path().join(name))?.ends_with("</html>\n"));
    Ok(())
}

#[test]
fn without_all_answers_there_is_no_report() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let analyzer = FakeAnalyzer::start(|question| match question.ask {
        Some(Ask::Keepalives(_)) => Err(Status::unavailable("merging")),
        _ => Ok(answer(std::iter::empty())),
    })?;
    let path = dir.path().join("report.html");
    let ended = run(analyzer.address, &format!("report -o {}", path.display()))?;
    assert_eq!(ended.status, Some(1));
    assert!(ended.notes.contains("cannot answer now: merging"), "{ended:?}");
    assert!(!path.exists());
    Ok(())
}

#[test]
fn manual_pages_are_written() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pages = dir.path().join("man1");
    let ended = run(std::net::SocketAddr::from(([127, 0, 0, 1], 1)), &format!("man {}", pages.display()))?;
    assert_eq!((ended.status, ended.notes.as_str()), (Some(0), ""));
    let page = fs::read_to_string(pages.join("iotq-keepalives.1"))?;
    assert!(page.starts_with(".ie") && page.contains(".TH iotq"), "{page}");
    Ok(())
}
