//! What was typed. Nothing here touches the world.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use iotq_proto::{
    CollectorId,
    settings::{Keys, Typed, TypedError, without_empty_variables},
};
use ipnet::IpNet;
use jiff::SignedDuration;

pub use crate::completions::Completions;
use crate::{
    export::Export,
    forget::ForgetCommand,
    help,
    man::ManPages,
    naming::DeviceCommand,
    questions::{
        connections::Connections, conversations::Conversations, destinations::Destinations, devices::Devices,
        diff::Diff, dns::DnsQuestions, first_seen::FirstSeenDestinations, groups::Groups, keepalives::Keepalives,
        packets::Packets, status::StatusQuestion, time_servers::TimeServers, timeline::Timeline, tls::TlsHellos,
        top_talkers::TopTalkers, unanswered::UnansweredAttempts,
    },
    report::Report,
    time_range::{Moment, parse_duration, parse_moment, parse_net},
};

/// Ask what the devices in your network say, and to whom
#[derive(Clone, Debug, Parser)]
#[command(
    name = "iotq",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "iotq COMMAND --help says more of each.\n\nExamples:\n  \
        iotq top-talkers --since 24h\n  \
        iotq destinations --device Kindle --since 1w\n  \
        iotq unanswered --group iot --since 24h\n  \
        iotq packets --group iot --follow\n  \
        iotq report --since 7d"
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
    /// From the words of a command line, the program's name first, and the file of settings
    /// that it names.
    ///
    /// # Errors
    /// If they make no sense, or ask for help.
    pub fn from_words(words: impl IntoIterator<Item = OsString>) -> Result<Self, TypedError> {
        let words: Vec<_> = words.into_iter().collect();
        // What help shows takes as long to put together as all the rest of a question.
        let read =
            |command| Typed::read(command, KEYS, words.iter().cloned())?.args::<Self>().map_err(TypedError::from);
        let mut args = match read(Self::command()) {
            Err(TypedError::Usage(_)) => read(help::command())?,
            other => other?,
        };
        let before = without_empty_variables(BeforeQuestion::command()).try_get_matches_from(&words)?;
        let before = BeforeQuestion::from_arg_matches(&before)?.common;
        // Of a global list that stands on both sides clap keeps the later part
        // alone: a filter would be lost in silence.
        prepend(before.devices, &mut args.common.devices);
        prepend(before.groups, &mut args.common.groups);
        prepend(before.nets, &mut args.common.nets);
        prepend(before.collectors, &mut args.common.collectors);
        Ok(args)
    }
}

/// What a file of settings can say: whom to ask, and how to write the answer; not what to ask.
pub const KEYS: Keys = Keys { commands: &[], is_key: is_no_selection };

fn is_no_selection(arg: &Arg) -> bool {
    arg.get_help_heading() != Some(SELECTION) && arg.get_id() != "explain"
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
    Device(DeviceCommand),
    Export(Export),
    Forget(ForgetCommand),
    Report(Report),
    Status(StatusQuestion),
    Completions(Completions),
    Man(ManPages),
}

/// Options of all questions; they may stand before or after the question.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// Packets captured from here on: 90s, 1h, 1w, 1h30m (ago), a date, RFC 3339, or "all" [default: 1h]
    ///
    /// A range of so many days begins with the whole minute, of a week or more with the whole hour, unless something is to
    /// be forgotten or exported. A date or time is taken as it is.
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
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", env = "IOTQ_FORMAT", hide_env_values = true, help_heading = OUTPUT)]
    pub format: Format,
    /// Show times in tables in UTC, and read dates as UTC
    #[arg(long, global = true, env = "IOTQ_UTC", hide_env_values = true, value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    pub utc: bool,
    /// Say after the answer which tables it was read from, and how much of the sums by hour and minute
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub explain: bool,
    #[expect(missing_docs, reason = "the help is the documentation")]
    #[arg(long, global = true, env = "IOTQ_NO_COLOR", hide_env_values = true, value_parser = FalseyValueParser::new())]
    #[arg(help_heading = OUTPUT, help = "Never colour the output; NO_COLOR does the same")]
    pub no_color: bool,

    /// File with settings (TOML), whose keys are these options and those of the output; variables and options go above it
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_CONFIG", hide_env_values = true, help_heading = CONNECTION)]
    pub config: Option<PathBuf>,
    /// Where the analyzer listens
    #[arg(long, global = true, env = "IOTQ_ANALYZER", hide_env_values = true, help_heading = CONNECTION)]
    #[arg(value_name = "URL", default_value = DEFAULT_ANALYZER)]
    pub analyzer: String,
    /// Give up when the analyzer is silent for this long
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, help_heading = CONNECTION)]
    #[arg(default_value = "60s", env = "IOTQ_TIMEOUT", hide_env_values = true)]
    pub timeout: SignedDuration,
    /// Certificate, key and authority for https, as `iotq-analyzer pki issue` writes them
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_TLS", hide_env_values = true, help_heading = CONNECTION)]
    pub tls: Option<PathBuf>,
    /// Authorities whose analyzers are trusted [default: those in --tls, else this
    /// system's]
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_TLS_CA", hide_env_values = true, help_heading = CONNECTION)]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show, with --tls-key instead of --tls
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_TLS_CERT", hide_env_values = true, help_heading = CONNECTION)]
    pub tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_TLS_KEY", hide_env_values = true, help_heading = CONNECTION)]
    pub tls_key: Option<PathBuf>,
    /// Token to show instead of a certificate
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_TOKEN_FILE", hide_env_values = true, help_heading = CONNECTION)]
    pub token_file: Option<PathBuf>,
    /// Talk to an analyzer on another host without encryption: everybody on the way can read the answers
    #[arg(long, global = true, env = "IOTQ_INSECURE_PLAINTEXT", hide_env_values = true, help_heading = CONNECTION)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub insecure_plaintext: bool,
}

impl CommonArgs {
    /// The options that were typed to select packets.
    pub(crate) fn typed_selection(&self) -> Vec<&'static str> {
        let typed = [
            ("--since", self.since.is_some()),
            ("--until", self.until.is_some()),
            ("--device", !self.devices.is_empty()),
            ("--group", !self.groups.is_empty()),
            ("--net", !self.nets.is_empty()),
            ("--collector", !self.collectors.is_empty()),
            ("--limit", self.limit.is_some()),
        ];
        typed.iter().filter(|(_, typed)| *typed).map(|(option, _)| *option).collect()
    }
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
    /// Apache Parquet: only for `export`
    #[value(help = "Apache Parquet: only for export")]
    Parquet,
}

/// Where an analyzer listens that was told nothing else.
const DEFAULT_ANALYZER: &str = "http://127.0.0.1:50651";

pub(crate) const SELECTION: &str = "Selection";
pub(crate) const OUTPUT: &str = "Output";
pub(crate) const CONNECTION: &str = "Connection";

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Args, TypedError> {
        Args::from_words(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_file_says_whom_to_ask_and_how_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iotq.toml");
        std::fs::write(&path, "format = 'json'\nutc = true\ntimeout = '5s'\ntls = 'anna.pem'\n").unwrap();
        let line = |line: &str| typed(&format!("{line} --config {}", path.display()));
        let args = line("iotq devices").unwrap().common;
        assert_eq!((args.format, args.utc, args.timeout), (Format::Json, true, SignedDuration::from_secs(5)));
        assert_eq!(args.tls, Some(PathBuf::from("anna.pem")));
        let args = line("iotq --format csv devices --timeout 7s").unwrap().common;
        assert_eq!((args.format, args.timeout), (Format::Csv, SignedDuration::from_secs(7)));
        assert!(line("iotq devices import leases --as isc").is_ok());
        // What to ask is not for a file.
        std::fs::write(&path, "\nsince = '7d'\n").unwrap();
        let refusal = line("iotq devices").unwrap_err().to_string();
        assert!(refusal.contains("iotq.toml, line 2: unknown key `since`"), "{refusal}");
        std::fs::write(&path, "timeout = 'soon'\n").unwrap();
        let refusal = line("iotq devices").unwrap_err().to_string();
        assert!(refusal.contains("iotq.toml, line 1: `timeout` cannot be `soon`"), "{refusal}");
    }

    #[test]
    fn the_example_names_every_key() {
        use iotq_proto::settings::{check, key_names, uncommented};
        let example = include_str!("../../deploy/iotq.toml");
        assert!(check(&help::command(), KEYS, example).unwrap().is_empty());
        let named = check(&help::command(), KEYS, &uncommented(example)).unwrap();
        assert_eq!(named, key_names(&help::command(), KEYS));
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
    fn a_device_is_named_and_grouped() {
        let args = typed("iotq device Kindle set --name Reader --group a --group b --no-group c").unwrap();
        let text = format!("{:?}", args.command);
        assert!(text.contains(r#"Some("Reader"), groups: ["a", "b"], no_groups: ["c"]"#), "{text}");
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
            "iotq timeline --step 1500ms",
            "iotq timeline --step 0s",
            "iotq device Kindle",
            "iotq device Kindle set",
            "iotq devices import",
            "iotq devices import leases --as bind",
        ] {
            let TypedError::Usage(refusal) = typed(line).expect_err(line) else { panic!("{line}") };
            assert_eq!(refusal.exit_code(), 2, "{line}");
        }
    }
}
