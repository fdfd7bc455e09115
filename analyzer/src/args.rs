//! What was typed. Touches nothing; [`crate::config`] gives it its meaning.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

/// Stores what the collectors saw, and answers questions about it.
#[derive(Debug, Parser)]
#[command(
    name = "iotq-analyzer",
    version,
    max_term_width = 80,
    after_help = "Example:\n  iotq-analyzer serve\n  iotq-analyzer serve --names house.names --data-dir /srv/iotq"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// File with settings (TOML), whose keys are the long flags of `serve`; variables
    /// and flags go above it
    #[arg(long, global = true, env = "IOTQ_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take batches from collectors, store them, answer `iotq`
    Serve(Box<ServeArgs>),
    /// Write the embedded store into one file, while it is served or not
    #[command(
        long_about = "Write the embedded store into one file, while it is served or not: all tables as of one moment. \
                      Nobody has to wait for it. Run it as the analyzer's user. Certificates (pki), imported tables \
                      (enrich) and the names file are files of their own: copy them too.",
        after_help = "Example:\n  iotq-analyzer backup /srv/backup/iotq-$(date +%F).tar\n  \
                      iotq-analyzer backup - | ssh nas 'cat > iotq.tar'"
    )]
    Backup(BackupArgs),
    /// Fill an empty data directory from a backup
    #[command(
        long_about = "Fill an empty data directory from a backup. What is not whole, damaged or of a newer release is \
                      refused, and leaves nothing behind. An older one is brought up to date by the next `serve`.",
        after_help = "Example:\n  iotq-analyzer restore /srv/backup/iotq-2026-11-01.tar --data-dir /srv/iotq"
    )]
    Restore(RestoreArgs),
    /// Tables of networks and lists of owners: take one, say which are used
    Db(DbArgs),
    /// Certificates and tokens: who may send, ask and name devices
    #[command(
        long_about = "Certificates and tokens: who may send, ask and name devices. Changes are noticed by a running \
                      analyzer within some seconds; run this as its user.",
        after_help = "Example:\n  iotq-analyzer pki init --host analyzer.lan\n  \
                      iotq-analyzer pki issue collector attic\n  iotq-analyzer pki issue reader anna -o anna.pem\n  \
                      iotq-analyzer pki revoke anna"
    )]
    Pki(PkiArgs),
    /// The embedded ClickHouse; started by `serve`, not by people.
    #[command(hide = true)]
    Engine(EngineArgs),
}

/// Flags of `serve`.
#[derive(Args, Debug)]
#[command(
    max_term_width = 80,
    after_help = "Without a flag: an embedded store below your data directory, gRPC on\n\
                  127.0.0.1:50651, health and metrics on 127.0.0.1:8651.\n\n\
                  Example:\n  iotq-analyzer serve --names house.names --retention-days 14"
)]
pub struct ServeArgs {
    /// Address for collectors and `iotq` (gRPC)
    #[arg(long, env = "IOTQ_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:50651")]
    pub listen: SocketAddr,

    /// Address for /healthz, /readyz and /metrics (HTTP)
    #[arg(long, env = "IOTQ_HTTP_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8651")]
    pub http_listen: SocketAddr,

    /// Certificate of the analyzer, if it is not of `iotq-analyzer pki`
    #[arg(long, env = "IOTQ_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Its key
    #[arg(long, env = "IOTQ_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Authorities whose certificates clients may show; a URI in them, urn:iotq:ROLE:NAME,
    /// says what they allow
    #[arg(long, env = "IOTQ_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// Allow --listen and --http-listen on other addresses than loopback without TLS,
    /// readable and writable by anyone who can reach them
    #[arg(long, env = "IOTQ_INSECURE_PLAINTEXT")]
    pub insecure_plaintext: bool,

    /// Folder of the embedded store [default: ~/.local/share/iotq]
    #[arg(long, env = "IOTQ_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The ClickHouse engine, libchdb.so [default: where `make engine` put it]
    #[arg(long, env = "IOTQ_ENGINE", value_name = "PATH", conflicts_with = "clickhouse_url")]
    pub engine: Option<PathBuf>,

    /// Memory the embedded ClickHouse may take, in MiB
    #[arg(long, env = "IOTQ_ENGINE_MEMORY_MIB", value_name = "MIB", default_value_t = 2048,
          value_parser = clap::value_parser!(u64).range(256..=1_048_576))]
    pub engine_memory_mib: u64,

    /// A ClickHouse server to use instead of the embedded one; of a cluster one of each
    /// shard at least, the first that answers is asked
    #[arg(long, env = "IOTQ_CLICKHOUSE_URL", value_name = "URL,…", value_delimiter = ',', num_args = 1..)]
    pub clickhouse_url: Vec<String>,

    /// The cluster that these servers are, by its name in their configuration: packets of a
    /// collector go to one shard, questions to all
    #[arg(long, env = "IOTQ_CLICKHOUSE_CLUSTER", value_name = "NAME", requires = "clickhouse_url")]
    pub clickhouse_cluster: Option<String>,

    /// User on that server
    #[arg(long, env = "IOTQ_CLICKHOUSE_USER", value_name = "NAME", default_value = "default")]
    pub clickhouse_user: String,

    /// File with that user's password; or set `IOTQ_CLICKHOUSE_PASSWORD`
    #[arg(
        long,
        env = "IOTQ_CLICKHOUSE_PASSWORD_FILE",
        value_name = "FILE",
        help = "File with that user's password; or set IOTQ_CLICKHOUSE_PASSWORD"
    )]
    pub clickhouse_password_file: Option<PathBuf>,

    /// Database on that server; made if missing
    #[arg(long, env = "IOTQ_CLICKHOUSE_DATABASE", value_name = "NAME", default_value = "iotq")]
    pub clickhouse_database: String,

    /// Names and groups of your devices: lines of `MAC or address, name, group`;
    /// a network or name:PATTERN instead of the address gives groups
    #[arg(long, env = "IOTQ_NAMES", value_name = "FILE")]
    pub names: Option<PathBuf>,

    /// Networks whose addresses are devices of yours
    #[arg(long, env = "IOTQ_LOCAL_NETS", value_name = "CIDR,…", value_delimiter = ',', num_args = 1..,
          default_values = crate::config::DEFAULT_LOCAL_NETS)]
    pub local_nets: Vec<IpNet>,

    /// Days that packets are kept, from their arrival
    #[arg(long, env = "IOTQ_RETENTION_DAYS", value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub retention_days: u16,

    /// The most the tables may take on disk, like 500M or 20G: beyond it the oldest
    /// packets go first, sums last; of a cluster, on each shard [default: what the disk has]
    #[arg(long, env = "IOTQ_RETENTION_BYTES", value_name = "BYTES", value_parser = retention_bytes)]
    pub retention_bytes: Option<RetentionBytes>,

    /// Lowest level of what iotq itself says that is logged, or a filter like `iotq_analyzer=debug`
    #[arg(long, env = "IOTQ_LOG", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// How log lines look
    #[arg(long, env = "IOTQ_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Where the embedded store is.
#[derive(Args, Debug)]
pub struct StoreArgs {
    /// Folder of the analyzer's data [default: ~/.local/share/iotq]
    #[arg(long, env = "IOTQ_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The ClickHouse engine, libchdb.so [default: where `make engine` put it]
    #[arg(long, env = "IOTQ_ENGINE", value_name = "PATH")]
    pub engine: Option<PathBuf>,
}

/// Flags of `backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// File to write; it must not exist. - is standard output
    pub file: PathBuf,
    /// Where the embedded store is.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Flags of `restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup; - is standard input
    pub file: PathBuf,
    /// Where the embedded store is.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Flags of `pki`.
#[derive(Args, Debug)]
pub struct PkiArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PkiCommand,

    /// Folder of the analyzer's data [default: ~/.local/share/iotq]
    #[arg(long, env = "IOTQ_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

/// The subcommands of `pki`.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make an authority, and a certificate for the analyzer
    #[command(after_help = "Example:\n  iotq-analyzer pki init --host analyzer.lan,192.168.7.2")]
    Init(InitArgs),
    /// Write a certificate with its key, or a token, for somebody
    #[command(after_help = "Example:\n  iotq-analyzer pki issue collector attic\n  \
                            iotq-analyzer pki issue admin anna -o anna.pem\n  \
                            iotq-analyzer pki issue reader grafana --token\n  \
                            iotq-analyzer pki issue server analyzer.lan 192.168.7.2")]
    Issue(IssueArgs),
    /// Make certificates and tokens worthless
    #[command(after_help = "Example:\n  iotq-analyzer pki revoke anna")]
    Revoke(RevokeArgs),
    /// Say what was issued, until when, and what was revoked
    #[command(after_help = "Example:\n  iotq-analyzer pki list")]
    List,
}

/// Flags of `pki init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// Names and addresses under which the analyzer is reached
    #[arg(long, required = true, value_name = "HOST,…", value_delimiter = ',', num_args = 1..)]
    pub host: Vec<String>,
    /// Days that the analyzer's certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = crate::pki::DEFAULT_DAYS,
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

/// Flags of `pki issue`.
#[derive(Args, Debug)]
pub struct IssueArgs {
    /// What it allows: to send under that name, to ask, also to name devices; or to
    /// be the analyzer, under these names
    pub role: crate::pki::Role,
    /// For whom
    #[arg(required = true)]
    pub name: Vec<String>,
    /// Days that it is valid
    #[arg(long, value_name = "DAYS", default_value_t = crate::pki::DEFAULT_DAYS,
          value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// A token instead of a certificate: for what can show none
    #[arg(long)]
    pub token: bool,
    /// File to write [default: NAME.pem or NAME.token here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Flags of `pki revoke`.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// A name (all that it has), or a serial number
    #[arg(value_name = "NAME|SERIAL")]
    pub what: String,
}

/// Flags of `db`.
#[derive(Args, Debug)]
#[command(
    max_term_width = 80,
    after_help = "Example:\n  iotq-analyzer db import asn ip2asn-combined.tsv.gz\n  iotq-analyzer db status"
)]
pub struct DbArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: DbCommand,

    /// Folder of the analyzer's data [default: ~/.local/share/iotq]
    #[arg(long, env = "IOTQ_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

/// The subcommands of `db`.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Check a file of others and use it from now on
    Import(ImportArgs),
    /// Say which tables and lists are used, of which day, and how large
    Status,
    /// Say on which terms they may be used
    Licences,
}

/// Flags of `db import`.
#[derive(Args, Debug)]
#[command(
    max_term_width = 80,
    after_help = "Tables (asn, country): MMDB, or text: first and last address or a network,\n\
                  then AS number and name, or country code; gzip or zstd too.\n\
                  Lists (owners): JSON of DuckDuckGo, Disconnect, Ghostery, third-party-web; hosts\n\
                  files; Adblock Plus; names, one a line; or domain, owner, category with tabs.\n\n\
                  Example:\n  iotq-analyzer db import country dbip-country-lite.mmdb --licence 'CC BY 4.0'"
)]
pub struct ImportArgs {
    /// What the file says
    pub kind: DbKind,

    /// The file
    pub file: PathBuf,

    /// Who made it, to be shown with answers [default: what the file says]
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,

    /// On which terms it may be used [default: what the file says]
    #[arg(long, value_name = "TEXT")]
    pub licence: Option<String>,

    /// Of which day it is [default: what the file says]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<String>,
}

/// What a file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum DbKind {
    /// Which autonomous system announces an address.
    Asn,
    /// In which country an address is.
    Country,
    /// Whose a domain is.
    Owners,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of the hidden `engine`.
#[derive(Args, Debug)]
pub struct EngineArgs {
    /// libchdb.so
    #[arg(long)]
    pub library: PathBuf,
    /// Server configuration (XML)
    #[arg(long)]
    pub config: PathBuf,
    /// Data directory
    #[arg(long)]
    pub path: PathBuf,
}

/// A limit in octets, as typed with a unit.
#[derive(Clone, Copy, Debug)]
pub struct RetentionBytes(pub u64);

/// At least what a day of a house takes: below it nothing would be left.
fn retention_bytes(text: &str) -> Result<RetentionBytes, String> {
    match iotq_proto::parse_size(text) {
        Some(bytes) if bytes >= MIN_RETENTION_BYTES => Ok(RetentionBytes(bytes)),
        Some(_) => Err("at least 64M".to_owned()),
        None => Err("a number of octets like 500M or 20G".to_owned()),
    }
}

/// Tables whose size is the house's, and the parts of one day.
const MIN_RETENTION_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_needs_no_argument() {
        let cli = Cli::try_parse_from(["iotq-analyzer", "serve"]).unwrap();
        let Command::Serve(args) = cli.command else { panic!("not serve") };
        assert_eq!(args.listen.to_string(), "127.0.0.1:50651");
        assert_eq!(args.local_nets.len(), crate::config::DEFAULT_LOCAL_NETS.len());
    }
}
