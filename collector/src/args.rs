//! What was typed. Touches nothing; [`crate::config`] says what it means.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};

use crate::capture::live::{DEFAULT_BUFFER_BYTES, DEFAULT_SNAPLEN};

/// Tells the analyzer what devices do, from a mirror port or from captures
///
/// Reads packets, sums up who talks to whom, and sends that. Headers and names
/// only: no payload leaves this host.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "iotq-collector",
    version,
    max_term_width = 80,
    disable_help_subcommand = true,
    after_help = "Example:\n  iotq-collector replay capture.pcapng\n  sudo iotq-collector run -i eth1"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// File with settings (TOML), whose keys are the long flags of `run` and `replay`;
    /// variables and flags go above it
    #[arg(long, global = true, value_name = "FILE", env = "IOTQ_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// How logs look.
    #[command(flatten)]
    pub log: LogArgs,
}

/// One question, one file.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Capture live, until told to stop
    #[command(after_help = "Example:\n  sudo iotq-collector run -i eth1 -f 'not port 22'")]
    Run(RunArgs),
    /// Send what capture files hold
    #[command(
        long_about = "Send what capture files hold: pcap and pcapng, also compressed with gzip or zstd. \
                      Ends when the analyzer has stored all of it.",
        after_help = "Exit status: 0 all was stored, 1 something was not, or a file is damaged, 2 usage.\n\n\
                      Example:\n  iotq-collector replay monday.pcapng tuesday.pcap.gz\n  \
                      tcpdump -w - | iotq-collector replay -"
    )]
    Replay(ReplayArgs),
    /// Save frames to a file for Wireshark, for a while
    #[command(
        long_about = "Save whole frames, payloads included, to a pcapng file for Wireshark and its kin: for a minute and \
                      without broadcast and multicast unless told otherwise. Nothing is sent anywhere.",
        after_help = "Example:\n  sudo iotq-collector capture -i eth1\n  \
                      sudo iotq-collector capture -i eth1 -d 300 --group plugs --groups house.names\n  \
                      sudo iotq-collector capture -i eth1 --net 192.168.7.0/24 -w - | tshark -r -"
    )]
    Capture(CaptureArgs),
    /// Say whether an interface really sees a mirror, and what to do if not
    #[command(
        long_about = "Listen on an interface for a while and say whether it really sees a mirror: frames of others, both \
                      directions of what they say, tags, doubled and lost frames, frames that the interface has put together; \
                      and whether the clock is the analyzer's. Nothing is stored.",
        after_help = "Exit status: 0 nothing failed, 1 something did, 2 usage.\n\n\
                      Example:\n  sudo iotq-collector doctor -i eth1\n  \
                      sudo iotq-collector doctor -i eth1 -d 60 --format json"
    )]
    Doctor(DoctorArgs),
    /// List what can be captured
    #[command(after_help = "Example:\n  iotq-collector interfaces --format json")]
    Interfaces(InterfacesArgs),
}

/// How logs look.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// How log lines on stderr look
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        env = "IOTQ_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// error, warn, info, debug or trace; also per module, as in
    /// `info,iotq_collector::uplink=debug` [default: info; for replay warn]
    #[arg(long, global = true, env = "IOTQ_LOG", hide_env_values = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// For people or for machines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// A line to read.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Where batches go, and under which name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Analyzer")]
pub struct AnalyzerArgs {
    /// Where the analyzer listens; several, with commas or by repeating: the
    /// next one when one fails
    #[arg(
        long,
        value_name = "URL",
        env = "IOTQ_ANALYZER",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50651"
    )]
    pub analyzer: Vec<String>,
    /// What this collector is called: letters, digits, `.`, `_`, `-` [default:
    /// the host's name]
    #[arg(long, value_name = "NAME", env = "IOTQ_NAME", hide_env_values = true)]
    pub name: Option<String>,
    /// Certificate, key and authority for https, as `iotq-analyzer pki issue` writes them
    #[arg(long, value_name = "FILE", env = "IOTQ_TLS", hide_env_values = true)]
    pub tls: Option<PathBuf>,
    /// Authorities whose analyzers are trusted [default: those in --tls, else this
    /// system's]
    #[arg(long, value_name = "FILE", env = "IOTQ_TLS_CA", hide_env_values = true)]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show, with --tls-key instead of --tls
    #[arg(long, value_name = "FILE", env = "IOTQ_TLS_CERT", hide_env_values = true)]
    pub tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", env = "IOTQ_TLS_KEY", hide_env_values = true)]
    pub tls_key: Option<PathBuf>,
    /// Token to show instead of a certificate
    #[arg(long, value_name = "FILE", env = "IOTQ_TOKEN_FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// Send to an analyzer on another host without encryption: everybody on the
    /// way can read and change it
    #[arg(long, env = "IOTQ_INSECURE_PLAINTEXT", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub insecure_plaintext: bool,
}

/// Where batches wait while no analyzer takes them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Spool")]
pub struct SpoolArgs {
    /// Folder for batches that no analyzer has stored yet; what is left there is
    /// sent by the next start. One collector each [default for run:
    /// ~/.local/state/iotq/spool/NAME, or below systemd's state directory; for
    /// replay none]
    #[arg(long, value_name = "DIR", env = "IOTQ_SPOOL_DIR", hide_env_values = true)]
    pub spool_dir: Option<PathBuf>,
    /// Give up the oldest batches beyond this, and count them as lost (`500M`, `2G`)
    #[arg(long, value_name = "BYTES", env = "IOTQ_SPOOL_MAX_BYTES", hide_env_values = true, default_value = "1G")]
    pub spool_max_bytes: String,
    /// Give up batches that are older than this (`12h`, `7d`)
    #[arg(long, value_name = "TIME", env = "IOTQ_SPOOL_MAX_AGE", hide_env_values = true, default_value = "7d")]
    pub spool_max_age: String,
}

/// What leaves this host beside who talked to whom, when and how much.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Privacy")]
pub struct AimsArgs {
    /// Send nothing that names anything: no DNS, no names of servers, clients or
    /// devices. Addresses, MACs and ports are sent all the same
    #[arg(long, env = "IOTQ_NO_NAMES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub no_names: bool,
    /// Send packets only, without the connections they belong to: `connections`,
    /// `unanswered` and some of `keepalives` have no answer then
    #[arg(long, env = "IOTQ_NO_CONNECTIONS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub no_connections: bool,
}

/// `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Captures to read; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Give up when the analyzer has not answered for so long (`90s`, `5m`)
    #[arg(long, value_name = "TIME", env = "IOTQ_TIMEOUT", hide_env_values = true, default_value = "60s")]
    pub timeout: String,
    /// Read everything, send nothing
    #[arg(long, env = "IOTQ_DRY_RUN", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// How the summary looks
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = "IOTQ_FORMAT", hide_env_values = true)]
    pub format: OutputFormat,
    /// Where batches wait.
    #[command(flatten)]
    pub spool: SpoolArgs,
    /// What leaves this host.
    #[command(flatten)]
    pub aims: AimsArgs,
    /// Where to.
    #[command(flatten)]
    pub analyzer: AnalyzerArgs,
}

/// `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Interfaces to capture on, as `iotq-collector interfaces` lists them
    #[arg(
        short,
        long,
        required = true,
        num_args = 1..,
        value_name = "IF",
        env = "IOTQ_INTERFACE", hide_env_values = true,
        value_delimiter = ','
    )]
    pub interface: Vec<String>,
    /// Only packets that this BPF filter lets through (see pcap-filter(7))
    #[arg(short, long, value_name = "BPF", env = "IOTQ_FILTER", hide_env_values = true)]
    pub filter: Option<String>,
    /// See only what is meant for this host, and broadcast
    #[arg(long, env = "IOTQ_NO_PROMISCUOUS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub no_promiscuous: bool,
    /// Octets to keep of each frame; headers and names need the default
    #[arg(long, value_name = "BYTES", env = "IOTQ_SNAPLEN", hide_env_values = true, default_value_t = DEFAULT_SNAPLEN)]
    pub snaplen: u32,
    /// Size of the kernel's ring for each interface
    #[arg(long, value_name = "BYTES", env = "IOTQ_BUFFER_BYTES", hide_env_values = true, default_value_t = DEFAULT_BUFFER_BYTES)]
    pub buffer_bytes: u32,
    /// Address for /healthz and /metrics (HTTP), like 127.0.0.1:8650 [default: none]
    #[arg(long, value_name = "ADDR:PORT", env = "IOTQ_HTTP_LISTEN", hide_env_values = true)]
    pub http_listen: Option<SocketAddr>,
    /// Allow --http-listen on other addresses than loopback: everybody who can reach
    /// it sees when and how much is said here
    #[arg(long, env = "IOTQ_INSECURE_HTTP", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub insecure_http: bool,
    /// Where batches wait.
    #[command(flatten)]
    pub spool: SpoolArgs,
    /// What leaves this host.
    #[command(flatten)]
    pub aims: AimsArgs,
    /// Where to.
    #[command(flatten)]
    pub analyzer: AnalyzerArgs,
}

/// `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Interface to listen on, as `iotq-collector interfaces` lists them
    #[arg(short, long, value_name = "IF", env = "IOTQ_INTERFACE", hide_env_values = true)]
    pub interface: String,
    /// Seconds to listen: devices that idle say something each few seconds
    #[arg(short, long, value_name = "SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: u64,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = "IOTQ_FORMAT", hide_env_values = true)]
    pub format: OutputFormat,
    /// Whose clock to compare with.
    #[command(flatten)]
    pub analyzer: AnalyzerArgs,
}

/// `capture`.
#[derive(Args, Clone, Debug)]
pub struct CaptureArgs {
    /// Interface to capture on, as `iotq-collector interfaces` lists them
    #[arg(short, long, value_name = "IF", env = "IOTQ_INTERFACE", hide_env_values = true)]
    pub interface: String,
    /// Seconds to capture for; 0: until stopped
    #[arg(short, long, value_name = "SECS", default_value_t = 60)]
    pub duration: u64,
    /// Frames to capture at most
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Broadcast and multicast too
    #[arg(short, long)]
    pub broadcast: bool,
    /// Only what is from or to this network, or address
    #[arg(long, value_name = "CIDR")]
    pub net: Option<String>,
    /// Only what is from or to devices of this group
    #[arg(long, value_name = "NAME", conflicts_with = "net")]
    pub group: Option<String>,
    /// Names and groups of your devices, the file of `iotq-analyzer serve --names`
    #[arg(long, value_name = "FILE", env = "IOTQ_NAMES", hide_env_values = true)]
    pub groups: Option<PathBuf>,
    /// Only packets that this BPF filter lets through as well (see pcap-filter(7))
    #[arg(short, long, value_name = "BPF")]
    pub filter: Option<String>,
    /// Octets to keep of each frame
    #[arg(short, long, value_name = "BYTES", default_value_t = DEFAULT_SNAPLEN)]
    pub snaplen: u32,
    /// File to write, folder to write it to, or `-` for standard output
    #[arg(
        short,
        long,
        value_name = "PATH",
        help = "File to write, folder to write it to, or `-` for standard output [default: \
                NAME_YYYYmmddHHMMSS.pcapng here, NAME being group, network or interface]"
    )]
    pub write: Option<PathBuf>,
}

/// `interfaces`.
#[derive(Args, Clone, Copy, Debug)]
pub struct InterfacesArgs {
    /// How the list looks
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = "IOTQ_FORMAT", hide_env_values = true)]
    pub format: OutputFormat,
}

/// For people or for machines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// To read.
    #[default]
    Table,
    /// One JSON object on one line.
    Json,
}
