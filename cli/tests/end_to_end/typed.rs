//! What is typed is what is asked; nonsense is refused before anything is.

use std::{
    io::Read as _,
    net::SocketAddr,
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use iotq_proto::v1::{
    self, Net, Question, Selection, destinations_question, question::Ask, timeline_question, top_talkers_question,
};

use crate::analyzer::{FakeAnalyzer, answer, iotq, run};

fn asked(line: &str) -> Result<Question> {
    let analyzer = FakeAnalyzer::start(|_| Ok(answer(std::iter::empty())))?;
    let ended = run(analyzer.address, line)?;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    analyzer.asked().pop().context("a question")
}

/// An address at which nothing must be asked.
fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[test]
fn the_last_hour_is_the_default() -> Result<()> {
    let selection = asked("devices")?.selection.context("selection")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let (since, until) = (selection.since_ns.context("since")?, selection.until_ns.context("until")?);
    assert_eq!(until - since, 3_600_000_000_000);
    assert_eq!(until % 1_000_000_000, 0);
    assert!((-1_000_000_000..60_000_000_000).contains(&(now - until)), "{until}: the end of this second");
    Ok(())
}

#[test]
fn the_selection_is_sent() -> Result<()> {
    let line = "--device Kindle devices --since 2026-05-01T13:00:00Z --until 2026-05-01T14:00:00Z --group iot \
                --group roomba --net 192.0.2.0/24 --net 2001:db8::/32 --collector attic -n 7 --explain";
    let octets = |text: &str| Ok::<_, anyhow::Error>(iotq_proto::address_octets(text.parse()?).to_vec());
    let expected = Selection {
        since_ns: Some(1_777_640_400_000_000_000),
        until_ns: Some(1_777_644_000_000_000_000),
        devices: vec!["Kindle".into()],
        groups: vec!["iot".into(), "roomba".into()],
        nets: vec![
            Net { ip: octets("192.0.2.0")?, prefix_len: 120 },
            Net { ip: octets("2001:db8::")?, prefix_len: 32 },
        ],
        collectors: vec!["attic".into()],
        limit: 7,
        explain: true,
    };
    assert_eq!(asked(line)?.selection, Some(expected));
    Ok(())
}

#[test]
fn limits_depend_on_the_format() -> Result<()> {
    for (line, limit) in [
        ("devices", 20),
        ("devices -n 0", 0),
        ("devices --format json", 0),
        ("devices --format jsonl", 0),
        ("devices --format csv", 0),
        ("devices --format csv --limit 3", 3),
        ("packets", 20),
        ("timeline", 0),
        ("timeline -n 3", 0),
        ("timeline -n 3 --format json", 3),
        ("status", 0),
    ] {
        assert_eq!(asked(line)?.selection.context("selection")?.limit, limit, "{line}");
    }
    Ok(())
}

#[test]
fn a_question_about_everything_selects_nothing() -> Result<()> {
    let selection = asked("status --since 1h --device Kindle -n 3")?.selection.context("selection")?;
    assert_eq!(selection, Selection::default());
    Ok(())
}

#[test]
fn each_question_is_sent_with_its_options() -> Result<()> {
    let connections = v1::ConnectionsQuestion {
        open: true,
        states: vec!["S0".into(), "REJ".into()],
        longer_than_ns: 5_400_000_000_000,
    };
    let timeline = v1::TimelineQuestion { by: timeline_question::Key::Device.into(), step_secs: 300 };
    for (line, ask) in [
        (
            "top-talkers --by rate",
            Ask::TopTalkers(v1::TopTalkersQuestion { order: top_talkers_question::Order::Rate.into() }),
        ),
        ("devices", Ask::Devices(v1::DevicesQuestion {})),
        (
            "destinations --by ip",
            Ask::Destinations(v1::DestinationsQuestion { by: destinations_question::Key::Ip.into() }),
        ),
        ("conversations", Ask::Conversations(v1::ConversationsQuestion {})),
        ("connections --open --longer-than 1h30m --state s0 --state REJ", Ask::Connections(connections)),
        ("unanswered", Ask::Unanswered(v1::UnansweredQuestion {})),
        ("keepalives", Ask::Keepalives(v1::KeepalivesQuestion::default())),
        ("dns", Ask::Dns(v1::DnsQuestion {})),
        ("tls", Ask::Tls(v1::TlsQuestion {})),
        ("time-servers", Ask::TimeServers(v1::TimeServersQuestion {})),
        ("first-seen", Ask::FirstSeen(v1::FirstSeenQuestion {})),
        ("groups", Ask::Groups(v1::GroupsQuestion {})),
        ("timeline --by device --step 5m", Ask::Timeline(timeline)),
        ("packets", Ask::Packets(v1::PacketsQuestion { follow: false })),
        ("status", Ask::Status(v1::StatusQuestion {})),
    ] {
        assert_eq!(asked(line)?.ask, Some(ask), "{line}");
    }
    Ok(())
}

#[test]
fn what_is_compared_with_lies_before_the_range() -> Result<()> {
    let against = |line: &str| match asked(line)?.ask {
        Some(Ask::Diff(diff)) => Ok((diff.against_since_ns, diff.against_until_ns)),
        other => anyhow::bail!("{other:?}"),
    };
    let range = "diff --since 2026-05-01T13:00:00Z --until 2026-05-01T14:00:00Z";
    let (since, hour) = (1_777_640_400_000_000_000, 3_600_000_000_000);
    assert_eq!(against(range)?, (since - hour, since));
    assert_eq!(against(&format!("{range} --against 7d"))?, (since - 7 * 24 * hour, since));
    assert_eq!(
        against(&format!("{range} --against 2026-05-01T10:00:00Z..2026-05-01T12:00:00Z"))?,
        (since - 3 * hour, since - hour)
    );
    Ok(())
}

#[test]
fn nonsense_is_a_usage_error() -> Result<()> {
    for line in [
        "",
        "nothing",
        "devices --since yesterdayish",
        "devices --since 1h --until 2h",
        "devices --analyzer https://localhost --tls /nowhere",
        "devices --analyzer http://192.0.2.1:50651",
        "devices --analyzer garbage:port",
        "completions nosuchshell",
        "packets --follow=maybe",
        "connections --state S4",
        "device Kindle",
        "device Kindle set",
        "devices import",
        "diff --since all",
        "diff --against soon",
        "diff --against 1h..2h",
    ] {
        let ended = run(nowhere(), line)?;
        assert_eq!((ended.status, ended.out.as_str()), (Some(2), ""), "{line}: {ended:?}");
        assert!(!ended.notes.is_empty());
    }
    Ok(())
}

#[test]
fn garbage_never_panics() -> Result<()> {
    // Deterministic: xorshift from a fixed seed.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words =
        ["--since", "--until", "-n", "--net", "--format", "devices", "packets", "\u{1b}[2J", "--", "-", "=", "💥"];
    for _ in 0..40 {
        let mut command = iotq(nowhere(), "");
        for _ in 0..next() % 40 {
            let index = usize::try_from(next() % 24)?;
            let noise = || format!("{}{:x}", if next() % 2 == 0 { "--" } else { "" }, next());
            command.arg(words.get(index).map_or_else(noise, |word| (*word).to_owned()));
        }
        let output = command.output()?;
        assert!(matches!(output.status.code(), Some(0..=2)), "{command:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{command:?}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text_are_refused() -> Result<()> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    for words in [
        vec![OsStr::from_bytes(b"\xff\xfe")],
        vec![OsStr::new("devices"), OsStr::new("--device"), OsStr::from_bytes(b"\xff")],
    ] {
        assert_eq!(iotq(nowhere(), "").args(words).output()?.status.code(), Some(2));
    }
    Ok(())
}

#[test]
fn help_version_and_completions_go_to_standard_output() -> Result<()> {
    for line in
        ["--help", "-h", "--version", "devices --help", "help packets", "completions bash", "completions zsh", "man"]
    {
        let ended = run(nowhere(), line)?;
        assert_eq!((ended.status, ended.notes.as_str()), (Some(0), ""), "{line}");
        assert!(!ended.out.is_empty());
    }
    Ok(())
}

#[test]
fn a_closed_pipe_is_no_failure_for_help_either() -> Result<()> {
    for line in ["--help", "completions bash"] {
        let mut child = iotq(nowhere(), line).stdout(Stdio::piped()).spawn()?;
        drop(child.stdout.take());
        let mut notes = String::new();
        child.stderr.take().context("stderr")?.read_to_string(&mut notes)?;
        assert_eq!((child.wait()?.code(), notes.as_str()), (Some(0), ""), "{line}");
    }
    Ok(())
}
