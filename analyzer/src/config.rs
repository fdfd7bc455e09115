//! What the arguments mean: complete and checked before anything is opened.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use iotq_proto::service::{LogStyle, log_filter};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::{
    access::TlsSource,
    args::{BackupArgs, Cli, Command, DbArgs, EngineArgs, LogFormat, PkiArgs, RestoreArgs, ServeArgs},
    enrich::installed::Places,
    pki::Pki,
    store::{ClusterConfig, RetentionConfig, Server},
};

/// Networks that are a house's own: RFC 1918, link-local (RFC 3927, RFC 4291),
/// unique local (RFC 4193) and the older site-local (RFC 3879).
pub const DEFAULT_LOCAL_NETS: [&str; 7] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10", "fec0::/10"];

/// The engine that `make engine` fetches; see `deploy/engine.lock`.
pub const ENGINE_VERSION: &str = "26.7.3-stable.1";

/// The tables that `make data` fetches; see `deploy/data.lock`.
pub const DATA_VERSION: &str = "2.3.2026061719";

/// What the program is to do.
#[derive(Debug)]
pub enum Job {
    /// Serve.
    Serve(Box<Serve>),
    /// Tables and lists.
    Db(DbArgs),
    /// Certificates.
    Pki(PkiArgs),
    /// Write a backup.
    Backup(BackupArgs),
    /// Read one.
    Restore(RestoreArgs),
    /// Be the embedded ClickHouse.
    Engine(EngineArgs),
}

/// `serve`.
#[derive(Debug)]
pub struct Serve {
    /// How.
    pub config: Config,
    /// What is logged.
    pub log_filter: EnvFilter,
    /// How it looks.
    pub log_style: LogStyle,
}

/// Everything `serve` needs to know.
#[derive(Debug)]
pub struct Config {
    /// Where collectors and CLI connect.
    pub listen: SocketAddr,
    /// Where health and metrics are.
    pub http_listen: SocketAddr,
    /// Certificates. `None`: plain text.
    pub tls: Option<TlsSource>,
    /// Which ClickHouse.
    pub store: StoreConfig,
    /// The user's names and groups.
    pub names: Option<PathBuf>,
    /// Where tables of networks and lists of owners are.
    pub enrichment: Places,
    /// Networks of the house.
    pub local_nets: Vec<IpNet>,
    /// How long and how much is kept.
    pub retention: RetentionConfig,
}

/// Which ClickHouse.
#[derive(Debug)]
pub enum StoreConfig {
    /// One that we start.
    Embedded {
        /// libchdb.so.
        library: PathBuf,
        /// Its folder.
        data_dir: PathBuf,
        /// Its limit.
        memory_bytes: u64,
    },
    /// A server, or several of a cluster.
    External(Box<Server>),
}

/// Why the arguments make no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Others could read and write.
    #[error(
        "{flag} {address} can be reached from other hosts, and there are no certificates: \
         `iotq-analyzer pki init --host NAME` makes them; or use a loopback address, \
         or say --insecure-plaintext if everyone there may read and write"
    )]
    Exposed {
        /// Which flag.
        flag: &'static str,
        /// The address in it.
        address: SocketAddr,
    },
    /// Some of three.
    #[error("--tls-cert, --tls-key and --tls-ca belong together")]
    TlsParts,
    /// A log filter.
    #[error("--log-level `{filter}` is no level (error, warn, info, debug, trace) or filter")]
    LogLevel {
        /// As typed.
        filter: String,
        /// What is wrong.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// No idea where to put the data.
    #[error("no home directory: say --data-dir DIR")]
    NoDataDir,
    /// The engine is not there.
    #[error(
        "no ClickHouse engine at {path}: `make engine` (the Debian package's: `iotq-analyzer-engine`) fetches it, \
         --engine PATH says where else it is, --clickhouse-url URL uses a server instead"
    )]
    NoEngine {
        /// Where we looked.
        path: PathBuf,
    },
    /// The URL is none.
    #[error("`{url}` is no ClickHouse URL (like http://localhost:8123)")]
    Url {
        /// What was given.
        url: String,
    },
    /// The database cannot be named so.
    #[error("`{name}` cannot name a database: letters, digits and `_`, not beginning with a digit")]
    Database {
        /// What was given.
        name: String,
    },
    /// A cluster cannot be named so.
    #[error("`{name}` cannot name a cluster: letters, digits, `_`, `-` and `.`")]
    Cluster {
        /// What was given.
        name: String,
    },
    /// Each would have its own tables.
    #[error("several --clickhouse-url are servers of one cluster: --clickhouse-cluster NAME says of which")]
    SeveralServers,
    /// The password file cannot be read.
    #[error("password file {path} not read")]
    PasswordFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TryFrom<Cli> for Job {
    type Error = ConfigError;

    fn try_from(cli: Cli) -> Result<Self, Self::Error> {
        Ok(match cli.command {
            Command::Serve(args) => Self::Serve(Box::new(Serve::try_from(*args)?)),
            Command::Db(args) => Self::Db(args),
            Command::Pki(args) => Self::Pki(args),
            Command::Backup(args) => Self::Backup(args),
            Command::Restore(args) => Self::Restore(args),
            Command::Engine(args) => Self::Engine(args),
        })
    }
}

impl TryFrom<ServeArgs> for Serve {
    type Error = ConfigError;

    fn try_from(args: ServeArgs) -> Result<Self, Self::Error> {
        let log_filter = log_filter(&args.log_level).map_err(|source| {
            let filter = args.log_level.chars().take(80).collect();
            ConfigError::LogLevel { filter, source }
        })?;
        let log_style = match args.log_format {
            LogFormat::Text => LogStyle::Text,
            LogFormat::Json => LogStyle::Json,
        };
        Ok(Self { config: args.try_into()?, log_filter, log_style })
    }
}

impl TryFrom<ServeArgs> for Config {
    type Error = ConfigError;

    fn try_from(args: ServeArgs) -> Result<Self, Self::Error> {
        let tls_parts = [&args.tls_cert, &args.tls_key, &args.tls_ca];
        if tls_parts.iter().any(|part| part.is_some()) && tls_parts.iter().any(|part| part.is_none()) {
            return Err(ConfigError::TlsParts);
        }
        let tls = tls_source(&args);
        if !args.insecure_plaintext && tls.is_none() {
            for (flag, address) in [("--listen", args.listen), ("--http-listen", args.http_listen)] {
                if !address.ip().is_loopback() {
                    return Err(ConfigError::Exposed { flag, address });
                }
            }
        }
        let store = if args.clickhouse_url.is_empty() {
            embedded(args.data_dir.as_deref(), args.engine.as_deref(), args.engine_memory_mib << 20)?
        } else {
            StoreConfig::External(Box::new(external(&args)?))
        };
        Ok(Self {
            listen: args.listen,
            http_listen: args.http_listen,
            tls,
            store,
            enrichment: enrichment_places(args.data_dir.as_deref()),
            names: args.names,
            local_nets: args.local_nets,
            retention: RetentionConfig {
                slices_days: args.retention_days,
                max_bytes: args.retention_bytes.map(|bytes| bytes.0),
            },
        })
    }
}

fn tls_source(args: &ServeArgs) -> Option<TlsSource> {
    if let (Some(cert), Some(key), Some(ca)) = (&args.tls_cert, &args.tls_key, &args.tls_ca) {
        return Some(TlsSource::Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() });
    }
    let pki = Pki::at(pki_dir(args.data_dir.as_deref())?);
    pki.is_there().then_some(TlsSource::Pki(pki))
}

/// Where certificates of our own are.
#[must_use]
pub fn pki_dir(data_dir: Option<&Path>) -> Option<PathBuf> {
    data_dir.map(Path::to_owned).or_else(default_data_dir).map(|dir| dir.join("pki"))
}

/// The folder of the analyzer's data.
///
/// # Errors
/// If none was given and there is no home directory.
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    given.map(Path::to_owned).or_else(default_data_dir).ok_or(ConfigError::NoDataDir)
}

/// The embedded store.
///
/// # Errors
/// If folder or engine are not to be had.
pub fn embedded(given: Option<&Path>, engine: Option<&Path>, memory_bytes: u64) -> Result<StoreConfig, ConfigError> {
    let data_dir = data_dir(given)?;
    let library = match engine {
        Some(path) => path.to_owned(),
        None => default_engine().ok_or_else(|| ConfigError::NoEngine { path: "~/.cache/iotq".into() })?,
    };
    if !library.is_file() {
        return Err(ConfigError::NoEngine { path: library });
    }
    // The child runs in another folder.
    let library = library.canonicalize().unwrap_or(library);
    Ok(StoreConfig::Embedded { library, data_dir, memory_bytes })
}

fn external(args: &ServeArgs) -> Result<Server, ConfigError> {
    if !is_identifier(&args.clickhouse_database) {
        return Err(ConfigError::Database { name: args.clickhouse_database.clone() });
    }
    if let Some(name) = args.clickhouse_cluster.as_ref().filter(|name| !is_cluster_name(name)) {
        return Err(ConfigError::Cluster { name: name.clone() });
    }
    if args.clickhouse_url.len() > 1 && args.clickhouse_cluster.is_none() {
        return Err(ConfigError::SeveralServers);
    }
    let urls = args.clickhouse_url.iter().map(|text| server_url(text)).collect::<Result<Vec<_>, _>>()?;
    // All servers know the same user; one that is in a URL is the first's.
    let Some(first) = urls.first() else { return Err(ConfigError::Url { url: String::new() }) };
    let user = if first.username().is_empty() { args.clickhouse_user.clone() } else { first.username().to_owned() };
    let password = match (&args.clickhouse_password_file, first.password()) {
        (Some(path), _) => read_password(path)?,
        (None, Some(password)) => password.to_owned(),
        // A secret has no flag: arguments can be read by every user of the host.
        (None, None) => env::var("IOTQ_CLICKHOUSE_PASSWORD").unwrap_or_default(),
    };
    let urls = urls.into_iter().map(without_login).collect::<Result<Vec<_>, _>>()?;
    let kind = match &args.clickhouse_cluster {
        Some(name) => format!("cluster {name} ({})", urls.join(", ")),
        None => urls.join(", "),
    };
    Ok(Server {
        url: urls[0].clone(),
        user,
        password,
        database: args.clickhouse_database.clone(),
        header: None,
        kind,
        data_dir: None,
        restart: None,
        cluster: args.clickhouse_cluster.clone().map(|name| ClusterConfig { name, urls }),
    })
}

fn server_url(text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    url.ok_or_else(|| ConfigError::Url { url: text.to_owned() })
}

fn without_login(mut url: Url) -> Result<String, ConfigError> {
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    stripped.map_err(|()| ConfigError::Url { url: url.to_string() })?;
    Ok(url.to_string())
}

/// What goes into statements between quotes.
fn is_cluster_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// What goes into statements as it is.
fn is_identifier(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn read_password(path: &Path) -> Result<String, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(source) => Err(ConfigError::PasswordFile { path: path.to_owned(), source }),
    }
}

/// The user's data directory by the XDG Base Directory Specification.
fn default_data_dir() -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share").map(|dir| dir.join("iotq"))
}

/// Where `make engine` puts the engine.
fn default_engine() -> Option<PathBuf> {
    Some(cache_dir()?.join("engine").join(ENGINE_VERSION).join("libchdb.so"))
}

/// Where imported tables and lists are, and those of `make data`.
#[must_use]
pub fn enrichment_places(data_dir: Option<&Path>) -> Places {
    let data_dir = data_dir.map(Path::to_owned).or_else(default_data_dir);
    Places {
        imported: data_dir.map(|dir| dir.join("enrich")),
        fetched: cache_dir().map(|dir| dir.join("data").join(DATA_VERSION)),
    }
}

fn cache_dir() -> Option<PathBuf> {
    match env::var_os("IOTQ_CACHE") {
        Some(dir) if !dir.is_empty() => Some(PathBuf::from(dir)),
        _ => Some(env::home_dir()?.join(".cache/iotq")),
    }
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    match env::var_os(variable).map(PathBuf::from) {
        Some(dir) if dir.is_absolute() => Some(dir),
        _ => Some(env::home_dir()?.join(below_home)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_looked_for_where_they_are_fetched_to() {
        let lock = include_str!("../../deploy/data.lock");
        let versions = lock.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').nth(2));
        let versions: Vec<_> = versions.collect();
        assert_eq!(versions, [Some(DATA_VERSION), Some(DATA_VERSION)]);
    }
}
