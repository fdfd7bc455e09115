//! `run`: interfaces to the analyzer, until told to stop.
//!
//! A thread for each interface, one for the window, the runtime's for the uplink.
//! Nobody waits for the next stage: what does not fit is lost and counted.

mod offer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use iotq_proto::{LossStage, error::Chain, supervision, v1};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::offer::Offer;
use crate::{
    capture::{
        live::{LiveCapture, LiveOptions, OpenError},
        own::OwnConnections,
    },
    chunk::{Aims, Chunk},
    config::RunConfig,
    privileges,
    spool::{SharedSpool, Spool, SpoolError},
    totals::Totals,
    uplink::{BeforeConnect, Uplink, UplinkConfig, UplinkError, deliver_left_behind, new_epoch},
    window::Window,
};

/// Why a live capture did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// An interface cannot be captured on.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The folder that the user named is not to be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No thread.
    #[error("no thread for `{name}`")]
    Thread {
        /// What it was for.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// All interfaces are gone.
    #[error("no interface is left to capture on")]
    NoInterfaceLeft,
    /// Batches were left behind.
    #[error("{frames} frames in {batches} batches were not acknowledged")]
    LeftBehind {
        /// Frames lost with it.
        frames: u64,
        /// Batches.
        batches: u64,
        /// Why.
        #[source]
        source: UplinkError,
    },
}

/// Captures until `shutdown` is cancelled, then sends what there is.
///
/// # Errors
/// If it cannot begin, if all interfaces vanish, or if something was left behind.
pub async fn run(config: RunConfig, shutdown: CancellationToken) -> Result<(), LiveError> {
    let own = OwnConnections::default();
    let captures = open_all(&config, &own)?;
    // Nothing else needs rights, and all threads are still to come.
    privileges::give_up(config.spool.as_ref().map(|spool| spool.dir.as_path()));
    let spool = open_spool(&config)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (chunks, queue) = sync_channel(QUEUED_CHUNKS);
    let (mut none_left, threads) = capture_all(captures, &chunks, &stop)?;
    drop(chunks);

    let (batches, uplink_queue) = mpsc::channel(QUEUED_BATCHES);
    let aims = config.aims;
    let progress = Arc::new(AtomicU64::new(0));
    let beats = Arc::clone(&progress);
    let window = spawn("window", move || build_batches(aims, &queue, &batches, &beats))?;
    let register = own.clone();
    let before_connect: BeforeConnect = Arc::new(move |port, remote| register.register(port, remote));
    let abandon = CancellationToken::new();
    let uplink_config = uplink_config(&config, spool.clone());
    let left_behind =
        tokio::spawn(deliver_left_behind(uplink_config.clone(), Arc::clone(&before_connect), abandon.clone()));
    let uplink = Uplink::new(uplink_config, uplink_queue, before_connect);
    let uplink = uplink.run(abandon.clone());
    tokio::pin!(uplink);

    supervision::ready();
    let mut seen = u64::MAX;
    let mut has_progress = || {
        let now = progress.load(Ordering::Relaxed);
        now != std::mem::replace(&mut seen, now)
    };
    let outcome = tokio::select! {
        outcome = &mut uplink => outcome,
        () = supervision::watchdog(async || has_progress()) => unreachable!("it does not end"),
        () = async {
            tokio::select! {
                () = shutdown.cancelled() => {
                    info!("stopping");
                    supervision::stopping();
                }
                _ = &mut none_left => {}
            }
            // From here on every stage ends when the one before it has.
            stop.store(true, Ordering::Relaxed);
            sleep(GRACE).await;
            abandon.cancel();
            std::future::pending::<()>().await;
        } => unreachable!("the second arm never ends"),
    };
    stop.store(true, Ordering::Relaxed);
    // What earlier starts left can wait for the next one.
    abandon.cancel();
    let _ = left_behind.await;
    for thread in threads.into_iter().chain([window]) {
        // Their channels are closed: they end within a read of the capture.
        let _ = thread.join();
    }
    // What could not be sent any more is safe there.
    let is_kept = outcome.unacknowledged_batches == 0 && matches!(outcome.failure, None | Some(UplinkError::Abandoned));
    if let Some(spool) = spool.filter(|_| is_kept) {
        let spool = spool.lock();
        let (level, dir) = (spool.level(), spool.dir().display());
        if level.batches > 0 {
            info!(batches = level.batches, bytes = level.bytes, %dir, "batches wait in the spool for the next start");
        } else {
            info!(batches = outcome.batches, frames = outcome.stored.frames, "all acknowledged");
        }
    } else if let Some(source) = outcome.failure {
        let (frames, batches) = (outcome.unacknowledged.frames, outcome.unacknowledged_batches);
        return Err(LiveError::LeftBehind { frames, batches, source });
    } else {
        info!(batches = outcome.batches, frames = outcome.stored.frames, "all acknowledged");
    }
    // Nobody told us to stop: then it was the interfaces that did.
    if shutdown.is_cancelled() { Ok(()) } else { Err(LiveError::NoInterfaceLeft) }
}

/// Without a folder that can be used batches wait in memory; unless the user named it.
fn open_spool(config: &RunConfig) -> Result<Option<SharedSpool>, SpoolError> {
    let Some(spool) = config.spool.clone() else {
        warn!("no home directory for a spool: batches wait in memory; --spool-dir DIR names a folder");
        return Ok(None);
    };
    let dir = spool.dir.clone();
    match Spool::open(spool, &config.sender.collector) {
        Ok(spool) => {
            let level = spool.level();
            info!(dir = %dir.display(), batches = level.batches, bytes = level.bytes, "spool open");
            Ok(Some(SharedSpool::new(spool)))
        }
        Err(error) if config.is_spool_wanted => Err(error),
        Err(error) => {
            warn!(error = %Chain(&error), "no spool: batches wait in memory, and are lost if this ends");
            Ok(None)
        }
    }
}

fn open_all(config: &RunConfig, own: &OwnConnections) -> Result<Vec<(String, LiveCapture)>, LiveError> {
    let mut captures = Vec::new();
    for interface in &config.interfaces {
        let options = LiveOptions {
            interface: interface.clone(),
            filter: config.filter.clone(),
            aims: config.aims,
            is_promiscuous: config.promiscuous,
            snaplen: config.snaplen,
            buffer_bytes: config.buffer_bytes,
        };
        captures.push((interface.clone(), LiveCapture::open(&options, own.clone())?));
        info!(interface, "capturing");
    }
    Ok(captures)
}

/// The receiver hears when the last interface is gone.
fn capture_all(
    captures: Vec<(String, LiveCapture)>,
    chunks: &SyncSender<Chunk>,
    stop: &Arc<AtomicBool>,
) -> Result<(oneshot::Receiver<()>, Vec<JoinHandle<()>>), LiveError> {
    // Each thread holds a share; the last one to let go is heard.
    let (last, none_left) = oneshot::channel::<()>();
    let last = Arc::new(last);
    let mut threads = Vec::new();
    for (interface, capture) in captures {
        let (offer, stop, share) = (Offer::new(chunks.clone()), Arc::clone(stop), Arc::clone(&last));
        threads.push(spawn(&format!("capture-{interface}"), move || {
            capture_on(&interface, capture, offer, &stop);
            drop(share);
        })?);
    }
    Ok((none_left, threads))
}

fn capture_on(interface: &str, mut capture: LiveCapture, mut offer: Offer, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match capture.read_chunk(|| stop.load(Ordering::Relaxed)) {
            Ok(chunk) => {
                if !offer.offer(chunk) {
                    break;
                }
            }
            Err(error) => {
                error!(interface, error = %Chain(&error), "capture ended");
                break;
            }
        }
    }
    offer.finish();
}

/// Ends when no capture is left.
fn build_batches(aims: Aims, chunks: &Receiver<Chunk>, batches: &mpsc::Sender<v1::Batch>, beats: &AtomicU64) {
    let mut window = Window::new(aims);
    let mut sealed = Vec::new();
    let mut losing = false;
    while let Ok(chunk) = chunks.recv() {
        window.add(&chunk, &mut sealed);
        // Chunks come at least four times a second, if need be empty ones.
        beats.fetch_add(1, Ordering::Relaxed);
        for batch in sealed.drain(..) {
            match batches.try_send(batch) {
                Ok(()) if losing => {
                    losing = false;
                    info!("the uplink takes batches again");
                }
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(batch)) => {
                    if !losing {
                        losing = true;
                        warn!("losing packets: the analyzer does not take them fast enough");
                    }
                    window.take_back(batch, LossStage::UplinkQueue);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }
    window.finish(&mut sealed);
    for batch in sealed.drain(..) {
        // Capture has ended: now there is nobody who must not wait.
        if let Err(unsent) = batches.blocking_send(batch) {
            let frames = Totals::of(&unsent.0).frames;
            warn!(frames, "last batch not sent");
        }
    }
}

fn uplink_config(config: &RunConfig, spool: Option<SharedSpool>) -> UplinkConfig {
    UplinkConfig {
        collector: config.sender.collector.clone(),
        epoch: new_epoch(),
        inputs: config.interfaces.clone(),
        live: true,
        analyzers: config.sender.analyzers.clone(),
        tls: config.sender.tls.clone(),
        give_up_after: None,
        spool,
        is_left_behind: false,
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LiveError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| LiveError::Thread { name: name.to_owned(), source })
}

/// Chunks between captures and window: a tenth of a second at a million packets
/// a second; the kernel's ring holds what takes longer.
const QUEUED_CHUNKS: usize = 32;

/// Batches between window and uplink: two seconds of a busy port, while one is
/// being encoded.
const QUEUED_BATCHES: usize = 4;

/// After the signal: what is on its way should be answered for. Below the ten
/// seconds after which container engines kill.
const GRACE: Duration = Duration::from_secs(8);
