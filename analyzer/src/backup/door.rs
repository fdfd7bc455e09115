//! Where `iotq-analyzer backup` asks a running analyzer: a socket in the data directory,
//! which only the analyzer's user can open.
//!
//! Who connects gets the tables frozen and one line that says where they lie. They lie there
//! until it hangs up.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use iotq_proto::error::Chain;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Mutex,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::archive::Parts;
use crate::store::{ReadError, Store};

/// Tables as of one moment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Snapshot {
    /// The engine's release.
    pub(super) clickhouse: String,
    /// The newest migration.
    pub(super) schema: u32,
    /// With the folders of their parts.
    pub(super) tables: Vec<Parts>,
    /// What has to be removed in the end.
    folder: PathBuf,
}

impl Snapshot {
    /// Freezes the tables of an embedded store.
    pub(super) async fn take(store: &Store, data_dir: &Path) -> Result<Self, ReadError> {
        let shadow = data_dir.join("engine/store/shadow");
        // What a backup left that was killed.
        if let Ok(entries) = fs::read_dir(&shadow) {
            for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"iotq_")) {
                remove(&entry.path());
            }
        }
        let name = format!("iotq_{}", std::process::id());
        let folder = shadow.join(&name);
        let frozen = store.freeze(&name).await;
        if frozen.is_err() {
            remove(&folder);
        }
        let place = |uuid: &str| folder.join("store").join(uuid.chars().take(3).collect::<String>()).join(uuid);
        let tables = frozen?
            .into_iter()
            .map(|frozen| Parts { folder: place(&frozen.uuid), table: frozen.table, has_rows: frozen.has_rows })
            .collect();
        let about = store.about();
        Ok(Self { clickhouse: about.version.clone(), schema: about.schema, tables, folder })
    }

    pub(super) fn remove(&self) {
        remove(&self.folder);
    }
}

/// The files are links: the tables keep theirs.
fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(folder = %folder.display(), error = %Chain(&error), "what a backup was made of is not removed");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Answers backups until `stop`. Without a data directory of ours there is nothing to do.
pub async fn serve(store: Store, data_dir: Option<PathBuf>, stop: CancellationToken) {
    let Some(data_dir) = data_dir else { return };
    let path = socket_path(&data_dir);
    // The folder is locked: whoever left it is gone.
    let _ = fs::remove_file(&path);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(path = %path.display(), error = %Chain(&error), "backups are possible only when the analyzer is stopped");
            return;
        }
    };
    let one_at_a_time = Arc::new(Mutex::new(()));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of files, say: later there may be some.
                Err(_) => {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    continue;
                }
            },
        };
        let (store, data_dir, turn) = (store.clone(), data_dir.clone(), Arc::clone(&one_at_a_time));
        let stop = stop.clone();
        tokio::spawn(async move {
            let Ok(_turn) = turn.try_lock() else { return };
            tokio::select! {
                () = stop.cancelled() => {}
                () = answer(stream, &store, &data_dir) => {}
            }
        });
    }
    let _ = fs::remove_file(&path);
}

async fn answer(mut stream: UnixStream, store: &Store, data_dir: &Path) {
    let snapshot = match Snapshot::take(store, data_dir).await {
        Ok(snapshot) => snapshot,
        Err(error) => return warn!(error = %Chain(&error), "tables not frozen for a backup"),
    };
    let snapshot = Guard(snapshot);
    info!("backup begun");
    if let Ok(mut line) = serde_json::to_vec(&snapshot.0) {
        line.push(b'\n');
        if stream.write_all(&line).await.is_ok() {
            // It says nothing more; this returns when it is gone.
            let _ = stream.read(&mut [0]).await;
        }
    }
    info!("backup ended");
}

/// Removes the links, also where the task is cancelled.
struct Guard(Snapshot);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// A running analyzer's tables; they stay frozen as long as the stream is held. `None`:
/// no analyzer runs there.
pub(super) async fn ask(data_dir: &Path) -> io::Result<Option<(Snapshot, UnixStream)>> {
    let mut stream = match UnixStream::connect(socket_path(data_dir)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut line = String::new();
    BufReader::new((&mut stream).take(MAX_LINE_BYTES)).read_line(&mut line).await?;
    if line.is_empty() {
        return Err(io::Error::other("it refused: another backup is under way, or its log says why"));
    }
    Ok(Some((serde_json::from_str(&line)?, stream)))
}

fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("backup.sock")
}

/// Some twenty tables with a path each.
const MAX_LINE_BYTES: u64 = 1 << 20;
