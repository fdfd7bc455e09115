//! ClickHouse, embedded or external: the only room that speaks SQL to it.
//!
//! `insert` stores batches, `migrate` keeps the tables, `retention` drops
//! what is too old, `read` binds parameters and fetches rows for
//! [`crate::query`]. What the rows mean is decided elsewhere.

mod backup;
mod cluster;
mod doubt;
mod durable;
mod export;
mod forget;
mod given;
mod insert;
mod journal;
mod migrate;
mod range;
mod read;
mod retention;
mod room;
mod servers;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum::http::Uri;
use clickhouse::{Client, Compression, error::Error as ClickHouseError};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use iotq_proto::error::Chain;
use tokio::{
    sync::{RwLock, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::{
    cluster::{Ddl, Opened},
    doubt::Doubt,
    durable::Durable,
    journal::Journal,
    room::Room,
    servers::Servers,
};
/// The newest tables that this release knows.
pub const NEWEST_SCHEMA: u32 = migrate::NEWEST;
pub use self::{
    backup::FrozenTable,
    cluster::ClusterConfig,
    durable::NotDurable,
    export::{ExportFormat, ExportTable},
    forget::{Forgotten, ForgottenRows},
    given::GivenRow,
    insert::{InsertError, StoredSeqs},
    journal::Group,
    migrate::MigrateError,
    range::TimeRange,
    read::{
        AddressRange, BeatsRow, CollectorRow, ConnectionRow, ConnectionsFilter, ConversationRow, CoverageJumpingRow,
        DaysRow, Detail, DeviceColumns, DirectoryRow, DnsRow, EdgeRow, EncryptedRow, EndpointHoursRow, ExchangedRow,
        Explained, FiveTuple, HoldingsRow, IdentityColumns, IdentityRow, Limit, MacRow, NoIpRow, OnLinkRow, PacketRow,
        PairOrder, PeerNameRow, PlacedRow, PointRow, ReadError, SaidRow, Scope, SeenByRow, StartsRow, StepKey,
        StretchRow, TableRow, TimeServerRow, TlsRow, UnansweredRow, limit_of,
    },
    retention::{RetentionConfig, run as run_retention},
};
use crate::engine::{Access, Restart};

/// A connection to ClickHouse with our tables in it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    servers: Servers,
    /// Where the tables themselves are: one, or one a shard.
    shards: Arc<[Client]>,
    about: Arc<About>,
    /// `None`: an external server's disks are not ours.
    durable: Option<Arc<Durable>>,
    /// `None`: an external server may have other analyzers, who know nothing of our groups.
    journal: Option<Arc<Journal>>,
    room: Arc<Room>,
    /// Read while a batch goes into the tables, written while they have to agree.
    storing: Arc<RwLock<()>>,
    doubt: Arc<Doubt>,
}

/// Which tables are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Schema {
    /// Those of this release: what is missing is made, what is old is changed.
    Current,
    /// Those of an earlier release.
    At(u32),
    /// Those that are there.
    AsItIs,
}

/// What the store is.
#[derive(Clone, Debug)]
pub struct About {
    /// `embedded`, or the server's URL.
    pub kind: String,
    /// Other analyzers may store into it.
    pub is_cluster: bool,
    /// ClickHouse's `version()`.
    pub version: String,
    /// The newest migration.
    pub schema: u32,
    /// Days that packets are kept; beyond 50 they are partitioned by week.
    pub retention_days: u16,
    /// Octets that are kept. `None`: as many as there is room for.
    pub retention_bytes: Option<u64>,
}

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Server {
    /// `http(s)://host:port`.
    pub url: String,
    /// Login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database.
    pub database: String,
    /// A header that has to be sent along.
    pub header: Option<(String, String)>,
    /// As in [`About::kind`].
    pub kind: String,
    /// Where its files are, if they are on this host and ours.
    pub data_dir: Option<PathBuf>,
    /// To start it anew, if it is ours.
    pub restart: Option<Restart>,
    /// The cluster it belongs to.
    pub cluster: Option<ClusterConfig>,
}

impl From<&Access> for Server {
    fn from(access: &Access) -> Self {
        Self {
            url: access.url.clone(),
            user: access.user.clone(),
            password: access.password.clone(),
            database: "iotq".to_owned(),
            header: Some((access.header.clone(), access.header_value.clone())),
            kind: "embedded".to_owned(),
            data_dir: Some(access.data_dir.clone()),
            restart: Some(access.restart.clone()),
            cluster: None,
        }
    }
}

/// Why a ClickHouse cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It does not answer.
    #[error("no ClickHouse answers at {url}: is it running, and is this its HTTP port?")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: ClickHouseError,
    },
    /// The login is wrong.
    #[error("ClickHouse at {url} refuses user `{user}`: check name and password")]
    Refused {
        /// Where.
        url: String,
        /// Who.
        user: String,
    },
    /// It is too old.
    #[error("ClickHouse {found} at {url} is too old: iotq needs {}.{} or later", MIN_VERSION.0, MIN_VERSION.1)]
    TooOld {
        /// Where.
        url: String,
        /// Its version.
        found: String,
    },
    /// It said something else.
    #[error("ClickHouse at {url} cannot be used")]
    Other {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: ClickHouseError,
    },
    /// Nobody can vouch for a server.
    #[error("{url} cannot be verified: this system has no certificate authorities (Debian's package ca-certificates)")]
    NoAuthorities {
        /// Where.
        url: String,
    },
    /// It is in another cluster, or none.
    #[error(
        "ClickHouse at {url} is in no shard of a cluster `{cluster}`: see `SELECT * FROM system.clusters` there, \
         where its own row has `is_local`"
    )]
    NotInCluster {
        /// Where.
        url: String,
        /// Which.
        cluster: String,
    },
    /// Not all shards can be looked after.
    #[error(
        "cluster `{cluster}` has {shards} shards, and servers of {reached} answer: \
         --clickhouse-url needs one server of each shard, as in URL,URL,…"
    )]
    ShardsMissing {
        /// Which.
        cluster: String,
        /// So many.
        shards: u64,
        /// Those that answer.
        reached: u64,
    },
    /// Replicas have nothing to agree through.
    #[error("cluster `{cluster}` has replicas, and ClickHouse at {url} has no Keeper that they could agree through")]
    NoKeeper {
        /// Which.
        cluster: String,
        /// Where.
        url: String,
    },
    /// A single server's tables are in the way.
    #[error(
        "database `{database}` at {url} holds tables of a single server, which a cluster cannot take over: \
         give another --clickhouse-database"
    )]
    NotOfCluster {
        /// Which.
        database: String,
        /// Where.
        url: String,
    },
    /// The folder of its files cannot be opened.
    #[error("folder {path} not opened")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tables could not be made or changed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl OpenError {
    /// Whether a server that answered, or was about to, is gone.
    fn is_lost_connection(&self) -> bool {
        let source = match self {
            Self::Unreachable { source, .. } | Self::Other { source, .. } => source,
            Self::Migrate(MigrateError::Statement { source, .. } | MigrateError::List { source, .. }) => source,
            _ => return false,
        };
        matches!(source, ClickHouseError::Network(_) | ClickHouseError::TimedOut)
    }
}

impl Store {
    /// Connects, checks the version, makes database and tables.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses us, is too old, or refuses our
    /// tables.
    pub async fn open(server: &Server, retention: impl Into<RetentionConfig>) -> Result<Self, OpenError> {
        let retention = retention.into();
        let mut attempts = 1;
        loop {
            match Self::open_with(server, retention, Schema::Current).await {
                // Somebody may kill our engine at any time; it is started again.
                Err(error) if server.restart.is_some() && error.is_lost_connection() && attempts < OPEN_ATTEMPTS => {
                    warn!(error = %Chain(&error), "ClickHouse engine lost while its tables were looked through, trying again");
                    attempts += 1;
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// As [`Store::open`], with other tables.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(
        server: &Server,
        retention: impl Into<RetentionConfig>,
        schema: Schema,
    ) -> Result<Self, OpenError> {
        let RetentionConfig { slices_days: retention_days, max_bytes: retention_bytes } = retention.into();
        let Opened { asked, shards, version, schema } = match &server.cluster {
            Some(cluster) => cluster::open(server, cluster, schema).await?,
            None => open_single(server, schema).await?,
        };
        let (kind, is_cluster) = (server.kind.clone(), server.cluster.is_some());
        let about = About { kind, is_cluster, version, schema, retention_days, retention_bytes };
        let (mut durable, mut journal) = (None, None);
        if let Some(path) = &server.data_dir {
            let failed = |source| OpenError::DataDir { path: path.clone(), source };
            durable = Some(Arc::new(Durable::open(path).map_err(failed)?));
            journal = Some(Arc::new(Journal::open(path).map_err(failed)?));
        }
        let room = Arc::new(Room::new(server.data_dir.as_deref()));
        let doubt = Arc::new(Doubt::new(server.restart.clone()));
        Ok(Self {
            servers: Servers::new(asked),
            shards: shards.into(),
            about: Arc::new(about),
            durable,
            journal,
            room,
            storing: Arc::default(),
            doubt,
        })
    }

    /// The server that is asked.
    fn client(&self) -> &Client {
        self.servers.client()
    }

    /// What the store is.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Looks after the disk, and after the servers of a cluster, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        tokio::join!(self.room.run(stop.clone()), self.watch_parts(stop.clone()), self.servers.watch(stop));
    }

    /// Merges are done at any time, also when nothing is inserted. What they were made of is
    /// there for eight minutes (`old_parts_lifetime`).
    async fn watch_parts(&self, stop: CancellationToken) {
        let Some(durable) = &self.durable else { return };
        let mut ticks = tokio::time::interval(PARTS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = durable.wait().await {
                error!(error = %Chain(&error), "what was stored is not sure to be there");
                self.doubt.note_not_durable(&error);
                self.doubt.heal(&self.storing).await;
            }
        }
    }

    /// Why nothing can be stored just now; `None`: it can.
    #[must_use]
    pub fn fullness(&self) -> watch::Receiver<Option<String>> {
        self.room.watch()
    }

    /// Whether it answers just now.
    pub async fn is_ready(&self) -> bool {
        servers::answers(self.client()).await
    }
}

async fn open_single(server: &Server, schema: Schema) -> Result<Opened, OpenError> {
    let client = connect(server)?;
    let version = check_version(&client, server).await?;
    let schema = migrate::run(&[&client], &server.database, schema, &Ddl::Here).await?;
    let client = client.with_database(&server.database);
    let asked = vec![(server.url.clone(), client.clone())];
    Ok(Opened { asked, shards: vec![client], version, schema })
}

/// A client for this server, of no database yet.
fn connect(server: &Server) -> Result<Client, OpenError> {
    let client = speaker(&server.url)?
        .with_url(&server.url)
        .with_user(&server.user)
        .with_password(&server.password)
        // A copy is cheaper than LZ4.
        .with_compression(if is_on_loopback(&server.url) { Compression::None } else { Compression::Lz4 });
    Ok(match &server.header {
        Some((name, value)) => client.with_header(name, value),
        None => client,
    })
}

fn is_on_loopback(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|url| matches!(url.host(), Some("127.0.0.1" | "[::1]" | "localhost")))
}

/// A client for this URL. The crate's own panics without the system's authorities, even where no TLS is spoken.
fn speaker(url: &str) -> Result<Client, OpenError> {
    if url.starts_with("https:") {
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            return Err(OpenError::NoAuthorities { url: url.to_owned() });
        }
        return Ok(Client::default());
    }
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEPALIVE));
    let mut http = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    Ok(Client::with_http_client(http.pool_idle_timeout(IDLE_TIMEOUT).build(connector)))
}

async fn check_version(client: &Client, server: &Server) -> Result<String, OpenError> {
    let url = server.url.clone();
    let version = match client.query_raw("SELECT version()").fetch_one::<String>().await {
        Ok(version) => version,
        Err(source @ (ClickHouseError::Network(_) | ClickHouseError::TimedOut)) => {
            return Err(OpenError::Unreachable { url, source });
        }
        // Codes of ClickHouse's ErrorCodes.cpp: UNKNOWN_USER, WRONG_PASSWORD,
        // REQUIRED_PASSWORD, AUTHENTICATION_FAILED.
        Err(ClickHouseError::BadResponse(text))
            if ["Code: 192.", "Code: 193.", "Code: 194.", "Code: 516."].iter().any(|code| text.contains(code)) =>
        {
            return Err(OpenError::Refused { url, user: server.user.clone() });
        }
        Err(source) => return Err(OpenError::Other { url, source }),
    };
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < MIN_VERSION {
        return Err(OpenError::TooOld { url, found: version });
    }
    Ok(version)
}

const PARTS_INTERVAL: Duration = Duration::from_secs(60);
/// Longer together than an engine takes to start.
const OPEN_ATTEMPTS: u32 = 10;
const OPEN_PAUSE: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Below the three seconds after which ClickHouse closes an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The first release whose `deduplicate_blocks_in_dependent_materialized_views`
/// follows the insert's token through chained views (its changelog: 24.8).
const MIN_VERSION: (u32, u32) = (24, 8);
