//! What was typed means this: complete before a socket is opened.

use std::{net::IpAddr, time::Duration};

use iotq_proto::{
    address_octets,
    tls::{ClientTls, TlsFiles, TlsFilesError},
    v1,
};
use jiff::SignedDuration;

use crate::{
    analyzer_url::{AnalyzerUrl, InvalidAnalyzerUrl},
    args::{CommonArgs, Format},
    questions::Question,
    terminal::Terminal,
    time_range::{InvalidRange, TimeRange},
};

/// Everything that is the same whatever the question.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom to ask.
    pub analyzer: AnalyzerUrl,
    /// What is shown to it. `None`: nothing, and in the clear.
    pub tls: Option<ClientTls>,
    /// How long it may be silent.
    pub timeout: Duration,
    /// What the question is about.
    pub selection: v1::Selection,
    /// How to write the answer.
    pub format: Format,
    /// Where it goes.
    pub terminal: Terminal,
    /// Whether the answer goes on until somebody stops it.
    pub follow: bool,
    /// The limit, if one was typed.
    pub typed_limit: Option<u64>,
    /// Options that were typed and select nothing here.
    pub unused: Vec<&'static str>,
    /// When it was typed.
    pub now: jiff::Timestamp,
}

/// What a question wants that differs from other questions.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// Whether the answer goes on until somebody stops it.
    pub follow: bool,
    /// Rows to ask for; `None`: the limit that was typed, if any.
    pub limit: LimitRule,
    /// How long the range is if nothing was typed.
    pub length: SignedDuration,
    /// Whether the selection says something about the answer.
    pub selects: bool,
    /// Whether it can be written as Parquet.
    pub parquet: bool,
    /// Whether it can say what it was read from.
    pub explains: bool,
    /// Whether a long range may begin with the whole minute or hour.
    pub rounds: bool,
}

/// How many rows to ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LimitRule {
    /// So many unless told otherwise; 0: all.
    Default(u64),
    /// All, whatever was typed: the limit is applied while drawing.
    All,
}

impl Wants {
    /// What this question wants in this format.
    #[must_use]
    pub fn of(question: &impl Question, format: Format) -> Self {
        Self {
            follow: question.follows(),
            limit: question.limit(format),
            length: DEFAULT_LENGTH,
            selects: question.is_about_packets(),
            parquet: false,
            explains: true,
            rounds: true,
        }
    }
}

impl Wants {
    /// For what is no question.
    pub(crate) fn nothing() -> Self {
        Self {
            follow: false,
            limit: LimitRule::All,
            length: DEFAULT_LENGTH,
            selects: false,
            parquet: false,
            explains: false,
            rounds: false,
        }
    }
}

impl Config {
    /// From what was typed.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn new(
        args: &CommonArgs,
        wants: &Wants,
        now: jiff::Timestamp,
        terminal: Terminal,
    ) -> Result<Self, InvalidConfig> {
        if args.format == Format::Parquet && !wants.parquet {
            return Err(InvalidConfig::Parquet);
        }
        if args.explain && !wants.explains {
            return Err(InvalidConfig::Explain);
        }
        let analyzer = AnalyzerUrl::parse(&args.analyzer, args.insecure_plaintext)?;
        if args.tls_cert.is_some() != args.tls_key.is_some() {
            return Err(TlsFilesError::Half.into());
        }
        let tls = analyzer.is_tls().then(|| ClientTls::load(&tls_files(args))).transpose()?;
        let time_zone = &terminal.time_zone;
        let mut range = TimeRange::new(args.since, args.until, wants.follow, wants.length, now, time_zone)?;
        if wants.rounds {
            range = range.from_whole(args.since, now);
        }
        let mut selection = v1::Selection {
            since_ns: range.since_ns,
            until_ns: range.until_ns,
            devices: args.devices.clone(),
            groups: args.groups.clone(),
            nets: args.nets.iter().map(|net| as_message(*net)).collect(),
            collectors: args.collectors.iter().map(ToString::to_string).collect(),
            limit: match wants.limit {
                LimitRule::Default(limit) => args.limit.unwrap_or(limit),
                LimitRule::All => 0,
            },
            explain: false,
        };
        let mut unused = Vec::new();
        if !wants.selects {
            unused = args.typed_selection();
            selection = v1::Selection::default();
        }
        selection.explain = args.explain;
        // Durations that were typed are above zero.
        let timeout = Duration::try_from(args.timeout).unwrap_or(Duration::MAX).min(MAX_TIMEOUT);
        let (format, follow, typed_limit) = (args.format, wants.follow, args.limit);
        Ok(Self { analyzer, tls, timeout, selection, format, terminal, follow, typed_limit, unused, now })
    }
}

/// Why what was typed makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// The analyzer's URL.
    #[error(transparent)]
    Analyzer(#[from] InvalidAnalyzerUrl),
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
    /// An answer is no file of columns.
    #[error("--format parquet is for `iotq export`: answers are table, json, jsonl or csv")]
    Parquet,
    /// Only answers have queries to tell of.
    #[error("--explain is for questions")]
    Explain,
    /// The range of time.
    #[error(transparent)]
    Range(#[from] InvalidRange),
}

fn tls_files(args: &CommonArgs) -> TlsFiles {
    TlsFiles {
        bundle: args.tls.clone(),
        ca: args.tls_ca.clone(),
        cert: args.tls_cert.clone(),
        key: args.tls_key.clone(),
        token: args.token_file.clone(),
    }
}

fn as_message(net: ipnet::IpNet) -> v1::Net {
    // An IPv4 prefix lies behind the 96 bits of ::ffff:0:0/96.
    let before = match net.addr() {
        IpAddr::V4(_) => 96,
        IpAddr::V6(_) => 0,
    };
    v1::Net { ip: address_octets(net.addr()).to_vec(), prefix_len: before + u32::from(net.prefix_len()) }
}

/// An answer is about the last hour unless told: what happens now, cheaply.
const DEFAULT_LENGTH: SignedDuration = SignedDuration::from_hours(1);
/// Timers overflow with more; nobody waits longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_sent_as_ipv6() {
        let v4 = as_message("192.0.2.0/24".parse().unwrap());
        assert_eq!((v4.ip.as_slice(), v4.prefix_len), (&address_octets("192.0.2.0".parse().unwrap())[..], 120));
        let v6 = as_message("2001:db8::/32".parse().unwrap());
        assert_eq!((v6.ip.as_slice(), v6.prefix_len), (&address_octets("2001:db8::".parse().unwrap())[..], 32));
    }
}
