//! Writes a fixed answer as if it had been asked for with this command line.

use anyhow::{Context as _, Result};
use clap::Parser as _;
use iotq_cli::{
    args::{Args, Command},
    config::{Config, Wants},
    questions::Question,
    render::render,
    terminal::Terminal,
};
use iotq_proto::v1::{Header, Rows, Trailer, answer::Kind};
use jiff::tz::TimeZone;

/// What was written.
pub(crate) struct Written {
    pub(crate) out: String,
    pub(crate) notes: String,
}

/// A terminal so wide, without colours, in UTC; `None`: a pipe.
pub(crate) fn terminal(width: Option<usize>) -> Terminal {
    Terminal { width, is_interactive: false, color: false, time_zone: TimeZone::UTC }
}

/// Writes the answer to this command line.
pub(crate) fn written(
    line: &[&str],
    terminal: Terminal,
    header: &Header,
    rows: &[Rows],
    truncated: bool,
) -> Result<Written> {
    let args = Args::try_parse_from(std::iter::once(&"iotq").chain(line))?;
    let mut kinds = vec![Kind::Header(header.clone())];
    kinds.extend(rows.iter().cloned().map(Kind::Rows));
    kinds.push(Kind::Trailer(Trailer { truncated, ..Trailer::default() }));
    match &args.command {
        Command::TopTalkers(question) => write(question, &args, terminal, kinds),
        Command::Devices(question) => write(question, &args, terminal, kinds),
        Command::Destinations(question) => write(question, &args, terminal, kinds),
        Command::Conversations(question) => write(question, &args, terminal, kinds),
        Command::Connections(question) => write(question, &args, terminal, kinds),
        Command::Timeline(question) => write(question, &args, terminal, kinds),
        Command::Unanswered(question) => write(question, &args, terminal, kinds),
        Command::Keepalives(question) => write(question, &args, terminal, kinds),
        Command::Dns(question) => write(question, &args, terminal, kinds),
        Command::Tls(question) => write(question, &args, terminal, kinds),
        Command::TimeServers(question) => write(question, &args, terminal, kinds),
        Command::FirstSeen(question) => write(question, &args, terminal, kinds),
        Command::Diff(question) => write(question, &args, terminal, kinds),
        Command::Groups(question) => write(question, &args, terminal, kinds),
        Command::Packets(question) => write(question, &args, terminal, kinds),
        Command::Status(question) => write(question, &args, terminal, kinds),
        Command::Device(_)
        | Command::Report(_)
        | Command::Export(_)
        | Command::Forget(_)
        | Command::Completions(_)
        | Command::Man(_) => {
            anyhow::bail!("no question")
        }
    }
}

fn write(question: &impl Question, args: &Args, terminal: Terminal, kinds: Vec<Kind>) -> Result<Written> {
    let wants = Wants::of(question, args.common.format);
    let now = "2026-05-01T14:00:00Z".parse().context("now")?;
    let config = Config::new(&args.common, &wants, now, terminal)?;
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    render(question, &config, kinds.into_iter().map(Ok), &mut out, &mut notes)?;
    Ok(Written { out: String::from_utf8(out)?, notes: String::from_utf8(notes)? })
}
