//! `backup` and `restore`: the embedded store as one file, and back.
//!
//! A backup is what the tables were at one moment between two batches. It is made from hard
//! links, so that neither the disk nor the collectors have to wait for it; of an analyzer
//! that runs ([`door`]) or of one that is stopped. Certificates, imported tables of networks
//! and the names file are files of their own: not in it.

mod archive;
pub mod door;

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::spawn_blocking;

use self::{
    archive::{About, ArchiveError, End},
    door::Snapshot,
};
use crate::{
    args::{BackupArgs, RestoreArgs, StoreArgs},
    config::{ConfigError, StoreConfig, embedded},
    engine::{Engine, EngineError},
    metrics::Metrics,
    store::{NEWEST_SCHEMA, NotDurable, OpenError, ReadError, Schema, Server, Store},
};

/// Why there is no backup, or why it is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Threads are not to be had.
    #[error("the runtime did not start")]
    Runtime(#[source] io::Error),
    /// Folder or engine are not there.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// It did not do what was asked.
    #[error("the engine did not do its part")]
    Query(#[from] ReadError),
    /// There is no store.
    #[error("{0} has no store: is this the analyzer's data directory?")]
    NoStore(PathBuf),
    /// It was killed while it stored something.
    #[error(
        "the analyzer on {0} was killed while it stored batches: start it once, which finishes that, then make the backup"
    )]
    Unfinished(PathBuf),
    /// An analyzer runs, but gives nothing.
    #[error("the analyzer that runs on {data_dir} made no backup")]
    Running {
        /// Which.
        data_dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something is there already.
    #[error("{0} exists already: give another name, or remove it")]
    Exists(PathBuf),
    /// Nobody can read it there.
    #[error("a backup is not for a terminal: give a file, or send it into a pipe")]
    Terminal,
    /// The file cannot be written.
    #[error("backup {path} not written")]
    Output {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("backup {path} not read")]
    Input {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no backup, or no whole one.
    #[error("nothing was restored")]
    Archive(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is newer than this program.
    #[error(
        "the backup was made by iotq {iotq} (schema {found}, this one knows {NEWEST_SCHEMA}): use that release or a later one"
    )]
    Newer {
        /// The release that made it.
        iotq: String,
        /// Its tables.
        found: u32,
    },
    /// There is a store already.
    #[error(
        "{0} has a store already: a backup is restored into an empty data directory; give another with --data-dir, \
         or move `engine` in it out of the way"
    )]
    NotEmpty(PathBuf),
    /// What came out is not what went in.
    #[error("table `{table}` is damaged in the backup, or was damaged on its way to the disk")]
    Table {
        /// Which.
        table: String,
    },
    /// What was restored is not there.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    /// The data directory cannot be written.
    #[error("data directory {path} cannot be used")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<ArchiveError> for BackupError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

/// A restore was interrupted: what is there is not whole.
#[derive(Debug, thiserror::Error)]
#[error("a restore into {0} did not come to its end: begin it again, `iotq-analyzer restore FILE` clears up first")]
pub struct HalfRestored(PathBuf);

/// Refuses a folder into which a backup was restored only in part.
///
/// # Errors
/// If it is one.
pub fn refuse_half_restored(data_dir: &Path) -> Result<(), HalfRestored> {
    if marker(data_dir).exists() { Err(HalfRestored(data_dir.to_owned())) } else { Ok(()) }
}

/// Makes a backup and says what is in it.
///
/// # Errors
/// If it is not made. Then there is no file of that name.
pub fn backup(args: &BackupArgs) -> Result<String, BackupError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(BackupError::Runtime)?;
    let end = runtime.block_on(async {
        let (library, data_dir, memory_bytes) = place(&args.store)?;
        match data_dir.join("engine/store").metadata() {
            Ok(store) if store.is_dir() => {}
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(BackupError::DataDir { path: data_dir, source });
            }
            _ => return Err(BackupError::NoStore(data_dir)),
        }
        let running = door::ask(&data_dir).await;
        if let Some((snapshot, _held)) =
            running.map_err(|source| BackupError::Running { data_dir: data_dir.clone(), source })?
        {
            return write(&args.file, snapshot).await;
        }
        // Half a group would be doubled when its collectors send it again after a restore.
        let journal = fs::read_dir(data_dir.join("journal")).ok();
        if journal.is_some_and(|mut groups| groups.next().is_some()) {
            return Err(BackupError::Unfinished(data_dir));
        }
        let engine = start(&library?, &data_dir, memory_bytes).await?;
        let made = async {
            let store = Store::open_with(&Server::from(engine.access()), DAYS, Schema::AsItIs).await?;
            let snapshot = Snapshot::take(&store, &data_dir).await?;
            let written = write(&args.file, snapshot.clone()).await;
            snapshot.remove();
            written
        };
        let made = made.await;
        engine.stop().await;
        made
    })?;
    Ok(format!("backup written: {}\n", summary(&end)))
}

/// Restores a backup and says what was in it.
///
/// # Errors
/// If it is not restored. Then the data directory is as it was before.
pub fn restore(args: &RestoreArgs) -> Result<String, BackupError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(BackupError::Runtime)?;
    let (about, end) = runtime.block_on(async {
        let (library, data_dir, memory_bytes) = place(&args.store)?;
        let library = library?;
        let input = open_input(&args.file)?;
        let unusable = |source| BackupError::DataDir { path: data_dir.clone(), source };
        if data_dir.join("engine").exists() && !marker(&data_dir).exists() {
            return Err(BackupError::NotEmpty(data_dir));
        }
        fs::create_dir_all(&data_dir).map_err(unusable)?;
        File::create(marker(&data_dir)).and_then(|file| file.sync_all()).map_err(unusable)?;
        let _ = fs::remove_dir_all(data_dir.join("engine"));
        let restored = fill(input, &library, &data_dir, memory_bytes).await;
        if restored.is_err() {
            let _ = fs::remove_dir_all(data_dir.join("engine"));
        }
        fs::remove_file(marker(&data_dir)).map_err(unusable)?;
        restored
    })?;
    Ok(format!("restored: {}, made at {} by iotq {}\n", summary(&end), about.made_at, about.iotq))
}

async fn fill(
    input: Box<dyn Read + Send>,
    library: &Path,
    data_dir: &Path,
    memory_bytes: u64,
) -> Result<(About, End), BackupError> {
    let engine = Arc::new(start(library, data_dir, memory_bytes).await?);
    let server = Server::from(engine.access());
    let handle = tokio::runtime::Handle::current();
    let mut opened = None;
    let filled = async {
        let (about, end, store) = spawn_blocking(move || {
            let (about, end) = archive::read(input, |about| -> Result<_, BackupError> {
                if about.schema > NEWEST_SCHEMA {
                    return Err(BackupError::Newer { iotq: about.iotq.clone(), found: about.schema });
                }
                let store = handle.block_on(Store::open_with(&server, DAYS, Schema::At(about.schema)))?;
                handle.block_on(store.stop_merges())?;
                let folders = handle.block_on(store.detached_folders())?;
                opened = Some(store);
                Ok(folders)
            })?;
            let store = opened.ok_or(ArchiveError::Foreign)?;
            Ok::<_, BackupError>((about, end, store))
        })
        .await
        .map_err(|error| BackupError::Runtime(io::Error::other(error)))??;
        for (table, rows) in &end.rows {
            if store.attach_all(table).await? != Some(*rows) {
                return Err(BackupError::Table { table: table.clone() });
            }
        }
        store.sync().await?;
        Ok((about, end))
    };
    let filled = filled.await;
    if let Some(engine) = Arc::into_inner(engine) {
        engine.stop().await;
    }
    filled
}

/// Writes the file as a whole, or not at all.
async fn write(file: &Path, snapshot: Snapshot) -> Result<End, BackupError> {
    let path = file.to_owned();
    let failed = |source| BackupError::Output { path: file.to_owned(), source };
    let about = About {
        format: archive::FORMAT,
        iotq: env!("CARGO_PKG_VERSION").to_owned(),
        clickhouse: snapshot.clickhouse.clone(),
        schema: snapshot.schema,
        made_at: jiff::Timestamp::now().to_string(),
    };
    if path == Path::new("-") {
        if io::stdout().is_terminal() {
            return Err(BackupError::Terminal);
        }
        let written = spawn_blocking(move || archive::write(io::stdout().lock(), &about, &snapshot.tables)).await;
        return written.map_err(|error| failed(io::Error::other(error)))?.map_err(failed);
    }
    if path.exists() {
        return Err(BackupError::Exists(path));
    }
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let written = spawn_blocking(move || {
        let written = (|| {
            let mut open = fs::OpenOptions::new();
            // It says of a house what its devices say.
            let file = open.create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            let mut out = io::BufWriter::with_capacity(1 << 20, file);
            let end = archive::write(&mut out, &about, &snapshot.tables)?;
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            // Not over one that came meanwhile.
            fs::hard_link(&unfinished, &path)?;
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                File::open(folder)?.sync_all()?;
            }
            Ok(end)
        })();
        let _ = fs::remove_file(&unfinished);
        written
    });
    written.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

fn open_input(path: &Path) -> Result<Box<dyn Read + Send>, BackupError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(io::BufReader::with_capacity(1 << 20, file))),
        Err(source) => Err(BackupError::Input { path: path.to_owned(), source }),
    }
}

/// Engine (if there is one), data directory and memory.
fn place(args: &StoreArgs) -> Result<(Result<PathBuf, ConfigError>, PathBuf, u64), BackupError> {
    let data_dir = crate::config::data_dir(args.data_dir.as_deref())?;
    let library = match embedded(Some(&data_dir), args.engine.as_deref(), ENGINE_MEMORY_BYTES) {
        Ok(StoreConfig::Embedded { library, .. }) => Ok(library),
        Ok(StoreConfig::External(_)) => Err(ConfigError::NoDataDir),
        Err(error) => Err(error),
    };
    Ok((library, data_dir, ENGINE_MEMORY_BYTES))
}

async fn start(library: &Path, data_dir: &Path, memory_bytes: u64) -> Result<Engine, BackupError> {
    let program = std::env::current_exe().map_err(BackupError::Runtime)?;
    Ok(Engine::start(&program, library, data_dir, memory_bytes, Arc::new(Metrics::new())).await?)
}

fn marker(data_dir: &Path) -> PathBuf {
    data_dir.join("restoring")
}

fn summary(end: &End) -> String {
    let rows: u64 = end.rows.iter().map(|(_, rows)| rows).sum();
    format!("{} tables, {rows} rows, {:.1} MiB", end.rows.len(), mib(end.bytes))
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Half of what `serve` takes: nothing is asked, parts are read through.
const ENGINE_MEMORY_BYTES: u64 = 1 << 30;
/// Nothing is inserted and nothing dropped here.
const DAYS: u16 = 30;
