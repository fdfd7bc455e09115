//! What was typed. Nothing here touches the world.

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};
use iotq_proto::CollectorId;
use ipnet::IpNet;
use jiff::SignedDuration;

pub use crate::completions::Completions;
use crate::{
    questions::{
        connections::Connections, conversations::Conversations, destinations::Destinations, devices::Devices,
        diff::Diff, dns::DnsQuestions, first_seen::FirstSeenDestinations, groups::Groups, keepalives::Keepalives,
        packets::Packets, status::StatusQuestion, time_servers::TimeServers, timeline::Timeline, tls::TlsHellos,
        top_talkers::TopTalkers, unanswered::UnansweredAttempts,
    },
    time_range::{Moment, parse_duration, parse_moment, parse_net},
};

/// Ask what the devices in your network say, and to whom
#[derive(Clone, Debug, Parser)]
#[command(
    name = "iotq",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        iotq top-talkers --since 24h\n  \
        iotq destinations --device Kindle --since 7d\n  \
        iotq packets --group iot --follow\n  \
        iotq conversations --since all --format json | jq '.rows[0]'"
)]
pub struct Args {
    /// The question.
    #[command(subcommand)]
    pub command: Command,
    /// Options that all questions share.
    #[command(flatten)]
    pub common: CommonArgs,
}

impl Args {
    /// From the words of a command line, the program's name first.
    ///
    /// # Errors
    /// If they make no sense, or ask for help.
    pub fn from_words(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let words: Vec<_> = words.into_iter().collect();
        let mut args = Self::try_parse_from(&words)?;
        let before = BeforeQuestion::try_parse_from(&words)?.common;
        // Of a global list that stands on both sides clap keeps the later part
        // alone: a filter would be lost in silence.
        prepend(before.devices, &mut args.common.devices);
        prepend(before.groups, &mut args.common.groups);
        prepend(before.nets, &mut args.common.nets);
        prepend(before.collectors, &mut args.common.collectors);
        Ok(args)
    }
}

/// Puts what stood before the question in front, unless clap has moved it there.
fn prepend<T: PartialEq>(before: Vec<T>, all: &mut Vec<T>) {
    if *all != before {
        all.splice(..0, before);
    }
}

/// A command line up to the question.
#[derive(Parser)]
struct BeforeQuestion {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    _question: AnyQuestion,
}

/// The question and all words after it.
#[derive(Subcommand)]
enum AnyQuestion {
    #[command(external_subcommand)]
    #[expect(dead_code, reason = "clap fills it; only what stands before is wanted")]
    Any(Vec<OsString>),
}

/// The questions, and what else there is to do.
#[derive(Clone, Debug, Subcommand)]
#[expect(missing_docs, reason = "clap takes the help of each from its type")]
pub enum Command {
    TopTalkers(TopTalkers),
    Devices(Devices),
    Destinations(Destinations),
    Conversations(Conversations),
    Connections(Connections),
    Timeline(Timeline),
    Unanswered(UnansweredAttempts),
    Keepalives(Keepalives),
    Dns(DnsQuestions),
    Tls(TlsHellos),
    TimeServers(TimeServers),
    Packets(Packets),
    FirstSeen(FirstSeenDestinations),
    Diff(Diff),
    Groups(Groups),
    Status(StatusQuestion),
    Completions(Completions),
}

/// Options of all questions; they may stand before or after the question.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// Packets captured from here on: 90s, 1h, 1w, 1h30m (ago), a date, RFC 3339, or "all" [default: 1h]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_moment, help_heading = SELECTION)]
    pub since: Option<Moment>,
    /// Packets captured before this; like --since [default: now]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_moment, help_heading = SELECTION)]
    pub until: Option<Moment>,
    /// Only this device: id, name, MAC or address (may be repeated)
    #[arg(long = "device", global = true, value_name = "DEVICE", help_heading = SELECTION)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub devices: Vec<String>,
    /// Only devices of this group (may be repeated)
    #[arg(long = "group", global = true, value_name = "GROUP", help_heading = SELECTION)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub groups: Vec<String>,
    /// Only traffic with an address in this network (may be repeated)
    #[arg(long = "net", global = true, value_name = "CIDR", value_parser = parse_net, help_heading = SELECTION)]
    pub nets: Vec<IpNet>,
    /// Only what this collector saw (may be repeated)
    #[arg(long = "collector", global = true, value_name = "NAME", help_heading = SELECTION)]
    pub collectors: Vec<CollectorId>,
    /// The most rows to show; 0: all [default: 20 for tables, else 0]
    #[arg(short = 'n', long, global = true, value_name = "ROWS", help_heading = SELECTION)]
    pub limit: Option<u64>,

    /// How to write the answer
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub format: Format,
    /// Show times in tables in UTC, and read dates as UTC
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub utc: bool,
    #[expect(missing_docs, reason = "the help is the documentation")]
    #[arg(long, global = true, help_heading = OUTPUT, help = "Never colour the output; NO_COLOR does the same")]
    pub no_color: bool,

    /// Where the analyzer listens
    #[arg(long, global = true, env = "IOTQ_ANALYZER", hide_env_values = true, help_heading = CONNECTION)]
    #[arg(value_name = "URL", default_value = DEFAULT_ANALYZER)]
    pub analyzer: String,
    /// Give up when the analyzer is silent for this long
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, help_heading = CONNECTION)]
    #[arg(default_value = "60s")]
    pub timeout: SignedDuration,
    /// Talk to an analyzer on another host without encryption: everybody on the way can read the answers
    #[arg(long, global = true, help_heading = CONNECTION)]
    pub insecure_plaintext: bool,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people: fits the terminal
    #[default]
    Table,
    /// One object: since, until, coverage, rows
    Json,
    /// One object a line: the rows
    Jsonl,
    /// Comma-separated values with a header
    Csv,
}

/// Where an analyzer listens that was told nothing else.
const DEFAULT_ANALYZER: &str = "http://127.0.0.1:50651";

const SELECTION: &str = "Selection";
const OUTPUT: &str = "Output";
const CONNECTION: &str = "Connection";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn typed(line: &str) -> Result<Args, clap::Error> {
        Args::from_words(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_or_after_the_question() {
        for line in ["iotq --format json -n 3 devices", "iotq devices --format json -n 3"] {
            let args = typed(line).unwrap();
            assert_eq!((args.common.format, args.common.limit), (Format::Json, Some(3)), "{line}");
        }
    }

    #[test]
    fn lists_are_repeated() {
        let args = typed("iotq devices --net 192.0.2.7/24 --net 2001:db8::1 --device a --device b").unwrap();
        let nets: Vec<_> = args.common.nets.iter().map(ToString::to_string).collect();
        assert_eq!(nets, ["192.0.2.0/24", "2001:db8::1/128"]);
        assert_eq!(args.common.devices, ["a", "b"]);
    }

    #[test]
    fn lists_before_and_after_the_question_are_one() {
        let args = typed("iotq --device a devices --device b").unwrap();
        assert_eq!(args.common.devices, ["a", "b"]);
        let args = typed("iotq --device a -n 3 devices --limit 4").unwrap();
        assert_eq!((args.common.devices, args.common.limit), (vec!["a".to_owned()], Some(4)));
    }

    #[test]
    fn states_are_zeeks_in_whatever_case() {
        let args = typed("iotq connections --state s0 --state RstoS0").unwrap();
        assert!(format!("{:?}", args.command).contains(r#"["S0", "RSTOS0"]"#));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "iotq devices --since yesteryear",
            "iotq devices --net 192.0.2.0/33",
            "iotq devices --collector a/b",
            "iotq devices -n -1",
            "iotq devices --format xml",
            "iotq devices --device=",
            "iotq devices extra",
            "iotq nothing",
            "iotq connections --state S9",
            "iotq devices --timeout 0s",
        ] {
            let refusal = typed(line).expect_err(line);
            assert_eq!(refusal.exit_code(), 2, "{line}");
        }
    }
}
