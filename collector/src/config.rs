//! What was typed, checked: complete before a file, socket or device is opened.

use std::{
    collections::HashSet,
    env, fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use http::Uri;
use iotq_proto::{
    CollectorId, InvalidCollectorId,
    names_file::{Member, Names, NamesError},
    parse_size,
    service::log_filter,
    tls::{ClientTls, TlsFiles, TlsFilesError},
};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{
        AimsArgs, AnalyzerArgs, CaptureArgs, Cli, Command, DoctorArgs, LogArgs, LogFormat, OutputFormat, ReplayArgs,
        RunArgs, SpoolArgs,
    },
    chunk::Aims,
    spool::SpoolConfig,
};

/// Everything the program does in one run.
#[derive(Debug)]
pub struct Config {
    /// What to do.
    pub command: CommandConfig,
    /// How logs look.
    pub log: LogConfig,
}

/// What to do.
#[derive(Debug)]
pub enum CommandConfig {
    /// Capture live.
    Run(RunConfig),
    /// Read files.
    Replay(ReplayConfig),
    /// Save frames.
    Capture(SaveConfig),
    /// Judge an interface.
    Doctor(DoctorConfig),
    /// List interfaces.
    Interfaces(OutputFormat),
}

/// How logs look.
#[derive(Debug)]
pub struct LogConfig {
    /// For people or machines.
    pub format: LogFormat,
    /// What is logged.
    pub filter: EnvFilter,
}

/// Who sends, and where to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SenderConfig {
    /// The collector's name.
    pub collector: CollectorId,
    /// At least one.
    pub analyzers: Vec<AnalyzerUrl>,
    /// What is shown to those with https.
    pub tls: TlsFiles,
}

/// `replay`.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// At least one; `-` at most once.
    pub files: Vec<PathBuf>,
    /// Where to. `None`: nowhere, a dry run.
    pub sender: Option<SenderConfig>,
    /// How long to go on without an answer.
    pub timeout: Duration,
    /// How the summary looks.
    pub format: OutputFormat,
    /// Where batches wait that the analyzer does not take. `None`: in memory, and then the reader waits.
    pub spool: Option<SpoolConfig>,
    /// What packets are looked at for.
    pub aims: Aims,
}

/// `run`.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// At least one, each once.
    pub interfaces: Vec<String>,
    /// BPF.
    pub filter: Option<String>,
    /// See what is meant for others.
    pub promiscuous: bool,
    /// Octets kept of each frame.
    pub snaplen: u32,
    /// The kernel's ring.
    pub buffer_bytes: u32,
    /// Where batches wait. `None`: no folder was named, and there is no home directory.
    pub spool: Option<SpoolConfig>,
    /// Whether the user named the folder: then it has to be usable.
    pub is_spool_wanted: bool,
    /// What packets are looked at for.
    pub aims: Aims,
    /// Where health and metrics are. `None`: nowhere. Several collectors of one host, one for each
    /// interface, would fight over any address that nobody chose.
    pub http_listen: Option<SocketAddr>,
    /// Where to.
    pub sender: SenderConfig,
}

/// `doctor`.
#[derive(Clone, Debug)]
pub struct DoctorConfig {
    /// Where to listen.
    pub interface: String,
    /// How long.
    pub duration: Duration,
    /// How the answer looks.
    pub format: OutputFormat,
    /// Whose clock to compare with.
    pub sender: SenderConfig,
}

/// `capture`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SaveConfig {
    /// Where from.
    pub interface: String,
    /// `None`: until stopped.
    pub duration: Option<Duration>,
    /// Frames at most.
    pub count: Option<u64>,
    /// BPF, of all that was asked for; empty: everything.
    pub filter: String,
    /// Octets kept of each frame.
    pub snaplen: u32,
    /// What the file is called after: group, network or interface.
    pub name: String,
    /// Where to. `None`: here.
    pub write: Option<PathBuf>,
}

/// Why flags make no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The collector's name.
    #[error("--name")]
    Name(#[from] InvalidCollectorId),
    /// An analyzer's URL.
    #[error("--analyzer {url}")]
    Analyzer {
        /// As typed.
        url: String,
        /// What is wrong.
        #[source]
        source: InvalidAnalyzerUrl,
    },
    /// No URL.
    #[error("--analyzer needs a URL, like http://127.0.0.1:50651")]
    NoAnalyzer,
    /// Another host, and no encryption.
    #[error(
        "--analyzer {0} is on another host, and what is sent there would not be encrypted: \
         use https:// and --tls FILE, or add --insecure-plaintext if nobody else is on the way"
    )]
    Plaintext(AnalyzerUrl),
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsFilesError),
    /// Others could read.
    #[error(
        "--http-listen {0} can be reached from other hosts, and what is said there is not encrypted: use a loopback \
         address, or add --insecure-http if everyone there may see it"
    )]
    Exposed(SocketAddr),
    /// A duration.
    #[error("--timeout `{0}` is no time, like 90s, 5m or 1h")]
    Timeout(String),
    /// A network.
    #[error("--net `{0}` is neither a network, like 192.168.7.0/24, nor an address")]
    Net(String),
    /// The names file.
    #[error("--groups")]
    Groups(#[from] NamesError),
    /// Of which file.
    #[error("--group {0} needs --groups FILE, which says who is in it")]
    NoGroupsFile(String),
    /// Nobody is in it.
    #[error("group `{group}` has no member that packets could show in {path}{hint}")]
    NoMember {
        /// Which group.
        group: String,
        /// The names file.
        path: PathBuf,
        /// Groups there are.
        hint: String,
    },
    /// A size.
    #[error("--spool-max-bytes `{0}` is no size, like 500M or 2G")]
    SpoolMaxBytes(String),
    /// A duration.
    #[error("--spool-max-age `{0}` is no time, like 12h or 7d")]
    SpoolMaxAge(String),
    /// Standard input has one end.
    #[error("standard input (`-`) can be read only once")]
    StdinTwice,
    /// An empty interface name.
    #[error("--interface needs a name; `iotq-collector interfaces` lists them")]
    NoInterface,
    /// Too small.
    #[error("--snaplen {0} cuts headers: at least {MIN_SNAPLEN}")]
    Snaplen(u32),
    /// Too small.
    #[error("--buffer-bytes {0} would lose packets: at least {MIN_BUFFER_BYTES}")]
    BufferBytes(u32),
    /// Too large for the interface libpcap has.
    #[error("{flag} {value}: at most {max}", max = i32::MAX)]
    TooLarge {
        /// Which.
        flag: &'static str,
        /// As typed.
        value: u32,
    },
    /// A log filter.
    #[error("--log-level `{text}`")]
    LogLevel {
        /// As typed.
        text: String,
        /// What is wrong.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
}

impl TryFrom<Cli> for Config {
    type Error = ConfigError;

    fn try_from(cli: Cli) -> Result<Self, ConfigError> {
        // A replay ends with its summary; being connected is no news to who waits.
        let default_level = if matches!(cli.command, Command::Run(_)) { "info" } else { "warn" };
        Ok(Self {
            log: LogConfig::parse(&cli.log, default_level)?,
            command: match cli.command {
                Command::Run(args) => CommandConfig::Run(args.try_into()?),
                Command::Replay(args) => CommandConfig::Replay(args.try_into()?),
                Command::Capture(args) => CommandConfig::Capture(args.try_into()?),
                Command::Doctor(args) => CommandConfig::Doctor(args.try_into()?),
                Command::Interfaces(args) => CommandConfig::Interfaces(args.format),
            },
        })
    }
}

impl LogConfig {
    fn parse(args: &LogArgs, default_level: &str) -> Result<Self, ConfigError> {
        let text = args.log_level.as_deref().filter(|text| !text.is_empty()).unwrap_or(default_level);
        let filter = log_filter(text).map_err(|source| ConfigError::LogLevel { text: excerpt(text), source })?;
        Ok(Self { format: args.log_format, filter })
    }
}

impl TryFrom<ReplayArgs> for ReplayConfig {
    type Error = ConfigError;

    fn try_from(args: ReplayArgs) -> Result<Self, ConfigError> {
        if args.files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
            return Err(ConfigError::StdinTwice);
        }
        // Checked even if it is not used: a dry run is a rehearsal.
        let sender = SenderConfig::try_from(args.analyzer)?;
        Ok(Self {
            files: args.files,
            sender: (!args.dry_run).then_some(sender),
            timeout: parse_duration(&args.timeout).ok_or_else(|| ConfigError::Timeout(excerpt(&args.timeout)))?,
            format: args.format,
            spool: spool_config(&args.spool, None, false)?,
            aims: args.aims.into(),
        })
    }
}

impl From<AimsArgs> for Aims {
    fn from(args: AimsArgs) -> Self {
        Self { names: !args.no_names, connections: !args.no_connections }
    }
}

impl TryFrom<RunArgs> for RunConfig {
    type Error = ConfigError;

    fn try_from(args: RunArgs) -> Result<Self, ConfigError> {
        let mut known = HashSet::new();
        let interfaces: Vec<String> =
            args.interface.into_iter().filter(|interface| known.insert(interface.clone())).collect();
        if interfaces.is_empty() || interfaces.iter().any(String::is_empty) {
            return Err(ConfigError::NoInterface);
        }
        if args.snaplen < MIN_SNAPLEN {
            return Err(ConfigError::Snaplen(args.snaplen));
        }
        if args.buffer_bytes < MIN_BUFFER_BYTES {
            return Err(ConfigError::BufferBytes(args.buffer_bytes));
        }
        for (flag, value) in [("--snaplen", args.snaplen), ("--buffer-bytes", args.buffer_bytes)] {
            if i32::try_from(value).is_err() {
                return Err(ConfigError::TooLarge { flag, value });
            }
        }
        if let Some(address) = args.http_listen.filter(|address| !address.ip().is_loopback() && !args.insecure_http) {
            return Err(ConfigError::Exposed(address));
        }
        let sender = SenderConfig::try_from(args.analyzer)?;
        Ok(Self {
            interfaces,
            filter: args.filter,
            promiscuous: !args.no_promiscuous,
            snaplen: args.snaplen,
            buffer_bytes: args.buffer_bytes,
            spool: spool_config(&args.spool, default_spool_dir(&sender.collector), true)?,
            is_spool_wanted: args.spool.spool_dir.is_some(),
            aims: args.aims.into(),
            http_listen: args.http_listen,
            sender,
        })
    }
}

impl TryFrom<DoctorArgs> for DoctorConfig {
    type Error = ConfigError;

    fn try_from(args: DoctorArgs) -> Result<Self, ConfigError> {
        if args.interface.is_empty() {
            return Err(ConfigError::NoInterface);
        }
        let (interface, format) = (args.interface, args.format);
        let duration = Duration::from_secs(args.duration);
        Ok(Self { interface, duration, format, sender: args.analyzer.try_into()? })
    }
}

impl TryFrom<CaptureArgs> for SaveConfig {
    type Error = ConfigError;

    fn try_from(args: CaptureArgs) -> Result<Self, ConfigError> {
        if args.interface.is_empty() {
            return Err(ConfigError::NoInterface);
        }
        for (flag, value) in [("--snaplen", args.snaplen)] {
            if i32::try_from(value).is_err() {
                return Err(ConfigError::TooLarge { flag, value });
            }
        }
        let mut parts = Vec::new();
        if !args.broadcast {
            // Broadcast is one of Ethernet's multicast addresses.
            parts.push("not ether multicast".to_owned());
        }
        let mut name = args.interface.clone();
        if let Some(text) = &args.net {
            let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            let net = net.map_err(|_| ConfigError::Net(excerpt(text)))?.trunc();
            parts.push(filter_of(Member::Net(net)));
            name = net.to_string();
        }
        if let Some(group) = &args.group {
            let path = args.groups.as_ref().ok_or_else(|| ConfigError::NoGroupsFile(excerpt(group)))?;
            let names = Names::read(path)?;
            let members = names.members(group);
            if members.is_empty() {
                let mut groups: Vec<_> = names.group_members().into_iter().map(|(group, _)| group).collect();
                groups.dedup();
                let hint =
                    if groups.is_empty() { String::new() } else { format!("; there are: {}", groups.join(", ")) };
                return Err(ConfigError::NoMember { group: excerpt(group), path: path.clone(), hint });
            }
            parts.push(members.into_iter().map(filter_of).collect::<Vec<_>>().join(" or "));
            name.clone_from(group);
        }
        parts.extend(args.filter.filter(|filter| !filter.trim().is_empty()));
        let filter = match parts.as_slice() {
            [part] => part.clone(),
            parts => parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" and "),
        };
        Ok(Self {
            interface: args.interface,
            duration: (args.duration > 0).then(|| Duration::from_secs(args.duration.min(MAX_TIMEOUT_SECS))),
            count: args.count,
            filter,
            snaplen: args.snaplen,
            name,
            write: args.write,
        })
    }
}

/// As pcap-filter(7) has it.
fn filter_of(member: Member) -> String {
    match member {
        Member::Mac(mac) => format!("ether host {mac}"),
        Member::Ip(ip) => format!("host {ip}"),
        Member::Net(net) if net.prefix_len() == net.max_prefix_len() => format!("host {}", net.addr()),
        Member::Net(net) => format!("net {net}"),
    }
}

impl TryFrom<AnalyzerArgs> for SenderConfig {
    type Error = ConfigError;

    fn try_from(args: AnalyzerArgs) -> Result<Self, ConfigError> {
        let collector = match args.name {
            Some(name) => name.parse()?,
            None => default_name(),
        };
        let mut analyzers = Vec::new();
        for text in args.analyzer.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            let url: AnalyzerUrl =
                text.parse().map_err(|source| ConfigError::Analyzer { url: excerpt(text), source })?;
            if !url.is_tls() && !url.is_loopback() && !args.insecure_plaintext {
                return Err(ConfigError::Plaintext(url));
            }
            analyzers.push(url);
        }
        if analyzers.is_empty() {
            return Err(ConfigError::NoAnalyzer);
        }
        let tls = TlsFiles {
            bundle: args.tls,
            ca: args.tls_ca,
            cert: args.tls_cert,
            key: args.tls_key,
            token: args.token_file,
        };
        if tls.cert.is_some() != tls.key.is_some() {
            return Err(TlsFilesError::Half.into());
        }
        if analyzers.iter().any(AnalyzerUrl::is_tls) {
            // Read again for each connection, so that a renewed one is used; but mistakes are told at once.
            ClientTls::load(&tls)?;
        }
        Ok(Self { collector, analyzers, tls })
    }
}

/// Where an analyzer listens: `http://HOST[:PORT]`, or `https` for TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnalyzerUrl(Uri);

impl AnalyzerUrl {
    /// Where an analyzer listens unless told otherwise.
    pub const DEFAULT_PORT: u16 = 50651;

    /// For the HTTP client.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether it is to be talked to by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Whether nothing sent there leaves this host.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// `http://host:port` or `https://host:port`, without a path.
impl fmt::Display for AnalyzerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.0.scheme_str().unwrap_or("http"),
            self.0.authority().map_or("", http::uri::Authority::as_str)
        )
    }
}

/// Why a text is no analyzer's URL.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAnalyzerUrl {
    /// Not a URL at all.
    #[error("not a URL, like http://127.0.0.1:50651")]
    Syntax(#[source] http::uri::InvalidUri),
    /// Another scheme, or none.
    #[error("has to begin with http:// or https://, like http://127.0.0.1:50651")]
    Scheme,
    /// More than host and port.
    #[error("has to be http://HOST:PORT, without user, path or query")]
    MoreThanHost,
}

impl FromStr for AnalyzerUrl {
    type Err = InvalidAnalyzerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidAnalyzerUrl> {
        let uri: Uri = text.parse().map_err(InvalidAnalyzerUrl::Syntax)?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(InvalidAnalyzerUrl::Scheme),
        }
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.contains('@') || authority.is_empty() {
            return Err(InvalidAnalyzerUrl::MoreThanHost);
        }
        Ok(Self(uri))
    }
}

fn spool_config(
    args: &SpoolArgs,
    default_dir: Option<PathBuf>,
    is_durable: bool,
) -> Result<Option<SpoolConfig>, ConfigError> {
    let max_bytes =
        parse_size(&args.spool_max_bytes).ok_or_else(|| ConfigError::SpoolMaxBytes(excerpt(&args.spool_max_bytes)))?;
    let max_age =
        parse_duration(&args.spool_max_age).ok_or_else(|| ConfigError::SpoolMaxAge(excerpt(&args.spool_max_age)))?;
    let dir = args.spool_dir.clone().or(default_dir);
    Ok(dir.map(|dir| SpoolConfig { dir, max_bytes, max_age, is_durable }))
}

/// What systemd made for us, else by the XDG Base Directory Specification.
fn default_spool_dir(collector: &CollectorId) -> Option<PathBuf> {
    let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
    if let Some(dir) = absolute("STATE_DIRECTORY") {
        return Some(dir.join("spool"));
    }
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(env::home_dir()?.join(".local/state")))?;
    Some(state.join("iotq/spool").join(collector.as_str()))
}

/// The host's name, with what a collector's name must not have made a `-`.
fn default_name() -> CollectorId {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let cleaned: String = host
        .to_string_lossy()
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-') { char } else { '-' })
        .take(64)
        .collect();
    // `.` and the like are no names, and a host may have none.
    cleaned.parse().or_else(|_| "collector".parse()).unwrap_or_else(|_| unreachable!("`collector` is a name"))
}

/// `90s`, `5m`, `1h`, or seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=MAX_TIMEOUT_SECS).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// What is wrong may be megabytes of garbage: show only its beginning.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// IPv6 with two tags and a full TCP header, and what mirrors put in front.
const MIN_SNAPLEN: u32 = 256;

/// Below this a burst of a few milliseconds is lost (DESIGN.md section 7).
const MIN_BUFFER_BYTES: u32 = 32 << 20;

/// A year; longer is a typing error, and times must not overflow.
const MAX_TIMEOUT_SECS: u64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};
    use iotq_proto::error::Chain;

    use super::*;

    fn config(line: &str) -> Result<Config, ConfigError> {
        Cli::try_parse_from(line.split_whitespace()).unwrap().try_into()
    }

    fn error(line: &str) -> String {
        Chain(&config(line).unwrap_err()).to_string()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_80_columns_and_ends_in_an_example() {
        let mut root = Cli::command();
        root.build();
        let mut commands: Vec<_> = root.get_subcommands().cloned().collect();
        commands.push(root);
        for mut command in commands {
            let name = command.get_name().to_owned();
            for help in [command.render_help().to_string(), command.render_long_help().to_string()] {
                let widest = help.lines().map(|line| line.chars().count()).max();
                assert!(widest <= Some(80), "{name}:\n{help}");
                let last = help.trim_end().rsplit("\n\n").next().unwrap();
                assert!(last.starts_with("Example:\n"), "{name}:\n{help}");
            }
        }
    }

    #[test]
    fn only_loopback_goes_without_a_flag() {
        for url in ["http://127.0.0.1:50651", "http://localhost:1", "http://[::1]:50651", "http://127.9.9.9"] {
            assert!(config(&format!("iotq-collector replay x --analyzer {url}")).is_ok(), "{url}");
        }
        for url in ["http://192.0.2.1:50651", "http://example.com", "http://localhost.example.com"] {
            let line = format!("iotq-collector replay x --analyzer {url}");
            assert!(error(&line).contains("--insecure-plaintext"), "{url}");
            assert!(config(&format!("{line} --insecure-plaintext")).is_ok(), "{url}");
        }
    }

    #[test]
    fn urls_that_lead_nowhere_are_refused_with_a_reason() {
        for (url, reason) in [
            ("127.0.0.1:50651", "http://"),
            ("localhost", "http://"),
            ("http://127.0.0.1/x", "path"),
            ("http://u:p@127.0.0.1", "user"),
            ("ftp://127.0.0.1", "http://"),
        ] {
            let error = error(&format!("iotq-collector replay x --analyzer {url}"));
            assert!(error.contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn several_analyzers_are_tried_in_the_order_typed() {
        let line = "iotq-collector replay --analyzer http://127.0.0.1:1,http://127.0.0.1:2 \
                    --analyzer http://[::1]:3 file";
        let CommandConfig::Replay(replay) = config(line).unwrap().command else { panic!("another command") };
        let urls: Vec<String> = replay.sender.unwrap().analyzers.iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://[::1]:3"]);
        assert_eq!(replay.files, [PathBuf::from("file")]);
    }

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("7"), Some(Duration::from_secs(7)));
        for text in ["", "s", "0", "-1s", "1w", "1.5s", "99999999999999999999s", "9999999999999d", "ü"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn spools_have_limits_with_units_and_a_place_of_their_own() {
        let line = "iotq-collector run -i a --name attic --spool-max-bytes 2G --spool-max-age 12h";
        let CommandConfig::Run(run) = config(line).unwrap().command else { panic!("another command") };
        let spool = run.spool.unwrap();
        assert_eq!((spool.max_bytes, spool.max_age), (2 << 30, Duration::from_secs(12 * 3600)));
        assert!(spool.dir.ends_with("attic") || spool.dir.ends_with("spool"), "{}", spool.dir.display());
        assert!(!run.is_spool_wanted && spool.is_durable);
        let CommandConfig::Replay(replay) = config("iotq-collector replay x").unwrap().command else {
            panic!("another")
        };
        assert_eq!(replay.spool, None);
        for flags in ["--spool-max-bytes 0", "--spool-max-bytes 1P", "--spool-max-bytes G", "--spool-max-age soon"] {
            assert!(error(&format!("iotq-collector run -i a {flags}")).contains("--spool-max"), "{flags}");
        }
    }

    #[test]
    fn captures_are_of_a_network_or_a_group_and_without_broadcast() {
        let save = |line: &str| match config(&format!("iotq-collector capture -i eth1 {line}")).unwrap().command {
            CommandConfig::Capture(save) => save,
            _ => panic!("another command"),
        };
        let plain = save("");
        assert_eq!((plain.filter.as_str(), plain.name.as_str()), ("not ether multicast", "eth1"));
        assert_eq!((plain.duration, plain.count), (Some(Duration::from_secs(60)), None));
        assert_eq!(save("-b -d 0 -c 3").filter, "");
        assert_eq!(save("-b --net 192.0.2.9/24 -f tcp").filter, "(net 192.0.2.0/24) and (tcp)");
        assert_eq!(save("-b --net 2001:db8::1").filter, "host 2001:db8::1");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        std::fs::write(&path, "00:00:5e:00:53:01, Plug, plugs\n192.0.2.7, NAS, plugs\n192.0.2.0/28,,net\n").unwrap();
        let path = path.display();
        let group = save(&format!("--group plugs --groups {path}"));
        assert_eq!(group.filter, "(not ether multicast) and (ether host 00:00:5e:00:53:01 or host 192.0.2.7)");
        assert_eq!(group.name, "plugs");
        let nobody = error(&format!("iotq-collector capture -i eth1 --group nobody --groups {path}"));
        assert!(nobody.contains("there are: net, plugs"), "{nobody}");
        for wrong in
            ["--net 192.0.2.0/99", "--net home", "-c 0", "--group x", "-i eth1 --net ::/0 --group x --groups y"]
        {
            let line = format!("iotq-collector capture -i eth1 {wrong}");
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err() || config(&line).is_err(), "{wrong}");
        }
    }

    #[test]
    fn interfaces_may_be_typed_in_any_way_and_twice() {
        for line in ["run -i a -i b", "run -i a,b", "run -i a b a"] {
            let CommandConfig::Run(run) = config(&format!("iotq-collector {line}")).unwrap().command else {
                panic!("another command")
            };
            assert_eq!(run.interfaces, ["a", "b"], "{line}");
            assert!(run.promiscuous);
        }
    }

    #[test]
    fn limits_that_lose_packets_are_refused() {
        for flags in ["--snaplen 10", "--buffer-bytes 1000", "--buffer-bytes 4000000000"] {
            assert!(config(&format!("iotq-collector run -i a {flags}")).is_err(), "{flags}");
        }
    }

    #[test]
    fn metrics_are_for_this_host_unless_told_otherwise() {
        for (flags, is_right) in [
            ("", true),
            ("--http-listen 127.0.0.1:8650", true),
            ("--http-listen [::1]:0", true),
            ("--http-listen 0.0.0.0:8650", false),
            ("--http-listen 192.0.2.1:8650 --insecure-plaintext", false),
            ("--http-listen 192.0.2.1:8650 --insecure-http", true),
        ] {
            let config = config(format!("iotq-collector run -i a {flags}").trim());
            assert_eq!(config.is_ok(), is_right, "{flags}");
        }
    }

    #[test]
    fn the_host_gives_a_name() {
        assert!(!default_name().as_str().is_empty());
    }
}
