//! `replay`: files, one after the other, to the analyzer.
//!
//! One thread reads and decodes, one builds batches; when the uplink has no room
//! they wait. The runtime's encodes and sends.

mod progress;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    time::Duration,
};

use indicatif::MultiProgress;
use iotq_proto::{LossStage, error::Chain, v1};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::progress::Progress;
use crate::{
    capture::file::{FileInput, FileReader},
    chunk::{Aims, Chunk},
    config::{ReplayConfig, SenderConfig},
    spool::{SharedSpool, Spool, SpoolError},
    summary::{FileReport, Summary},
    totals::Totals,
    uplink::{BeforeConnect, Uplink, UplinkConfig, UplinkError, deliver_left_behind, new_epoch},
    window::Window,
};

/// How a replay ended.
#[derive(Debug)]
pub struct Replayed {
    /// What became of every frame.
    pub summary: Summary,
    /// Why sending ended early.
    pub failure: Option<UplinkError>,
    /// What waits in the spool for the next start.
    pub spooled: Option<Spooled>,
}

/// Batches in the spool when a replay ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spooled {
    /// Which folder.
    pub dir: PathBuf,
    /// How many.
    pub batches: u64,
}

/// Why there was no replay at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// None to be had.
    #[error("no thread to read with")]
    Thread(#[source] std::io::Error),
    /// The folder is not to be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Reads all files and sends what they hold, until it is stored or `shutdown`
/// is cancelled.
///
/// # Errors
/// If it cannot begin. Everything else is told in the summary.
pub async fn replay(
    config: ReplayConfig,
    shutdown: CancellationToken,
    screen: &MultiProgress,
) -> Result<Replayed, ReplayError> {
    let spool = match (&config.sender, &config.spool) {
        (Some(sender), Some(spool)) => Some(SharedSpool::new(Spool::open(spool.clone(), &sender.collector)?)),
        _ => None,
    };
    let progress = Progress::new(screen);
    let (batches, queue) = mpsc::channel(QUEUED_BATCHES);
    let shared = Arc::new(Shared { sink: Mutex::new(Some(batches)), read: Mutex::new(Read::default()) });
    let all_read = CancellationToken::new();
    let (chunks, filled) = sync_channel(QUEUED_CHUNKS);
    let (emptied, empty) = channel();
    let reader = Reader {
        shared: Arc::clone(&shared),
        aims: config.aims,
        stop: shutdown.clone(),
        progress: progress.clone(),
        chunks,
        empty,
    };
    let files = config.files.clone();
    spawn("read", move || reader.read_all(&files))?;
    let (done, aims, to) = (all_read.clone(), config.aims, Arc::clone(&shared));
    spawn("window", move || {
        build_batches(aims, &filled, &emptied, &to);
        done.cancel();
    })?;

    let Some(sender) = &config.sender else {
        let counted = tokio::spawn(count(queue));
        wait_for_reader(&shutdown, &all_read).await;
        shared.close_sink();
        // It does not panic.
        let (totals, batches) = counted.await.unwrap_or_default();
        progress.finish();
        let summary = shared.take_stock(&config.files, totals, batches, true);
        return Ok(Replayed { summary, failure: None, spooled: None });
    };
    let abandon = CancellationToken::new();
    let uplink_config = uplink_config(&config, sender, spool.clone());
    let before_connect: BeforeConnect = Arc::new(|_, _| ());
    let uplink = async {
        let left_behind = deliver_left_behind(uplink_config.clone(), Arc::clone(&before_connect), abandon.clone());
        let uplink = Uplink::new(uplink_config.clone(), queue, Arc::clone(&before_connect)).run(abandon.clone());
        let (left_behind, mut outcome) = tokio::join!(left_behind, uplink);
        outcome.failure = outcome.failure.or(left_behind.failure);
        outcome
    };
    tokio::pin!(uplink);
    let outcome = tokio::select! {
        outcome = &mut uplink => outcome,
        () = async {
            wait_for_reader(&shutdown, &all_read).await;
            // Nothing comes any more, even from a reader that hangs.
            shared.close_sink();
            progress.wait_for_analyzer();
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
            abandon.cancel();
            std::future::pending::<()>().await;
        } => unreachable!("the second arm never ends"),
    };
    // It has nowhere to put anything now, so it is about to end.
    shared.close_sink();
    let _ = timeout(READER_GRACE, all_read.cancelled()).await;
    progress.finish();
    let mut totals = outcome.stored;
    totals.add(&outcome.rejected);
    totals.add(&outcome.unacknowledged);
    let summary = shared.take_stock(&config.files, totals, outcome.batches, false);
    let spooled = spool.and_then(|spool| {
        let spool = spool.lock();
        let batches = spool.level().batches;
        (batches > 0).then(|| Spooled { dir: spool.dir().to_owned(), batches })
    });
    Ok(Replayed { summary, failure: outcome.failure, spooled })
}

/// What a dry run does with batches. They are let go here, not in the thread that builds them: that one is the slowest.
async fn count(mut queue: mpsc::Receiver<v1::Batch>) -> (Totals, u64) {
    let (mut totals, mut batches) = (Totals::default(), 0);
    while let Some(batch) = queue.recv().await {
        totals.add(&Totals::of(&batch));
        batches += 1;
    }
    (totals, batches)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ReplayError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(ReplayError::Thread)
}

/// Until everything is read. After `shutdown` not much longer: a reader that
/// waits for standard input does not notice.
async fn wait_for_reader(shutdown: &CancellationToken, all_read: &CancellationToken) {
    tokio::select! {
        () = all_read.cancelled() => return,
        () = shutdown.cancelled() => {}
    }
    let _ = timeout(READER_GRACE, all_read.cancelled()).await;
}

fn uplink_config(config: &ReplayConfig, sender: &SenderConfig, spool: Option<SharedSpool>) -> UplinkConfig {
    UplinkConfig {
        collector: sender.collector.clone(),
        epoch: new_epoch(),
        inputs: config.files.iter().map(|file| input_name(file)).collect(),
        live: false,
        analyzers: sender.analyzers.clone(),
        tls: sender.tls.clone(),
        give_up_after: Some(config.timeout),
        spool,
        is_left_behind: false,
        changes: None,
        metrics: None,
    }
}

/// What reader and waiter both look at.
struct Shared {
    /// Where batches go. `None`: nobody takes them any more.
    sink: Mutex<Option<mpsc::Sender<v1::Batch>>>,
    read: Mutex<Read>,
}

/// What was read so far.
#[derive(Default)]
struct Read {
    files: Vec<FileReport>,
    /// Of batches that nobody took.
    lost: Totals,
}

impl Shared {
    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self) -> MutexGuard<'_, Option<mpsc::Sender<v1::Batch>>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_sink(&self) {
        *self.sink() = None;
    }

    /// Whether batches are of any use.
    fn takes_batches(&self) -> bool {
        self.sink().as_ref().is_some_and(|batches| !batches.is_closed())
    }

    /// Hands a batch on, waiting for room.
    fn put(&self, batch: v1::Batch) {
        // Cloned, so that nobody waits for the lock while we wait for room.
        let sink = self.sink().clone();
        let unsent = match sink {
            Some(batches) => batches.blocking_send(batch).err().map(|unsent| unsent.0),
            None => Some(batch),
        };
        if let Some(batch) = unsent {
            self.read().lost.add(&Totals::of(&batch).lost_at(LossStage::Unacknowledged));
        }
    }

    fn take_stock(&self, named: &[PathBuf], mut totals: Totals, batches: u64, dry_run: bool) -> Summary {
        let read = self.read();
        totals.add(&read.lost);
        let mut files = read.files.clone();
        for path in named.iter().skip(files.len()) {
            files.push(FileReport { path: path.clone(), frames: 0, error: Some("not read".to_owned()) });
        }
        let mut summary = Summary { files, totals, batches, dry_run };
        summary.balance();
        summary
    }
}

/// The thread that builds batches of what is read, until that ends. Chunks go back when they are empty.
fn build_batches(aims: Aims, filled: &Receiver<Chunk>, emptied: &Sender<Chunk>, shared: &Shared) {
    let mut window = Window::new(aims);
    let mut sealed = Vec::new();
    while let Ok(chunk) = filled.recv() {
        if chunk.begins.is_some() {
            // Batch by batch; `add` would seal all that is left of the file before at once.
            window.finish().for_each(|batch| shared.put(batch));
        }
        window.add(&chunk, &mut sealed);
        // The reader may have ended already.
        let _ = emptied.send(chunk);
        sealed.drain(..).for_each(|batch| shared.put(batch));
    }
    window.finish().for_each(|batch| shared.put(batch));
}

/// The thread that reads.
struct Reader {
    shared: Arc<Shared>,
    aims: Aims,
    stop: CancellationToken,
    progress: Progress,
    /// To the window.
    chunks: SyncSender<Chunk>,
    /// Back from it.
    empty: Receiver<Chunk>,
}

impl Reader {
    fn read_all(&self, files: &[PathBuf]) {
        for path in files {
            if self.stop.is_cancelled() {
                break;
            }
            // True until it is read: whoever cannot wait for that finds it so.
            let error = Some(format!("`{}` was not read to its end: interrupted", path.display()));
            self.shared.read().files.push(FileReport { path: path.clone(), frames: 0, error });
            let error = self.read_file(path).err();
            self.progress.end_file();
            if let Some(error) = &error {
                self.progress.say(&format!("iotq-collector: {error}"));
            }
            if let Some(file) = self.shared.read().files.last_mut() {
                file.error = error;
            }
        }
    }

    fn read_file(&self, path: &Path) -> Result<(), String> {
        let mut reader =
            FileReader::open(&FileInput::from(path)).map_err(|error| Chain(&error).to_string())?.with_aims(self.aims);
        self.progress.begin_file(path, reader.size());
        loop {
            if self.stop.is_cancelled() {
                return Err(format!("`{}` was not read to its end: interrupted", path.display()));
            }
            if !self.shared.takes_batches() {
                return Err(nobody_takes(path));
            }
            if let Ok(chunk) = self.empty.try_recv() {
                reader.recycle(chunk);
            }
            let Some(chunk) = reader.read_chunk(CHUNK_PACKETS).map_err(|error| Chain(&error).to_string())? else {
                debug!(file = %path.display(), "file read");
                return Ok(());
            };
            if let Some(file) = self.shared.read().files.last_mut() {
                file.frames += chunk.frames();
            }
            self.chunks.send(chunk).map_err(|_| nobody_takes(path))?;
            self.progress.set_position(reader.position());
        }
    }
}

fn nobody_takes(path: &Path) -> String {
    format!("`{}` was not read to its end: nobody takes what it holds", path.display())
}

/// The file's name without its folders, as `ReplaySource` has it.
fn input_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Packets read at once: some 100 KB that stay in the cores' cache.
const CHUNK_PACKETS: usize = 1024;

/// Chunks between reading and building: neither waits for the other's hiccups.
const QUEUED_CHUNKS: usize = 4;

/// Enough for reading to go on while a batch is being encoded.
const QUEUED_BATCHES: usize = 2;

/// After a signal: what is on its way should be answered for. Below the ten
/// seconds after which container engines kill.
const GRACE: Duration = Duration::from_secs(8);

/// After a signal: time to finish a chunk.
const READER_GRACE: Duration = Duration::from_secs(1);
