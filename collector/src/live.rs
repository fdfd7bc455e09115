//! `run`: interfaces to the analyzer, until told to stop.
//!
//! A thread for each interface, one for the window, the runtime's for the uplink.
//! Nobody waits for the next stage: what does not fit is lost and counted.

mod offer;
mod reload;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use iotq_proto::{LossStage, error::Chain, service::Log, supervision, v1};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use self::{offer::Offer, reload::Reload};
use crate::{
    capture::{
        live::{HELD, LiveCapture, LiveOptions, OpenError, now},
        own::OwnConnections,
    },
    chunk::{Aims, Chunk},
    config::{RunConfig, SenderConfig},
    http,
    metrics::Metrics,
    privileges,
    settings::Settings,
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
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: is another collector running? --http-listen takes another address")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No signals.
    #[error("no signals to be had")]
    Signal(#[source] std::io::Error),
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
pub async fn run(
    config: RunConfig,
    settings: Settings,
    log: Log,
    shutdown: CancellationToken,
) -> Result<(), LiveError> {
    let hangup = signal(SignalKind::hangup()).map_err(LiveError::Signal)?;
    let metrics = Arc::new(Metrics::new(&log.events));
    let web = listen(&config).await?;
    let own = OwnConnections::default();
    let captures = open_all(&config, &own)?;
    metrics.interfaces.set(i64::try_from(captures.len()).unwrap_or(i64::MAX));
    // Nothing else needs rights, and all threads are still to come.
    let kept = privileges::give_up(config.spool.as_ref().map(|spool| spool.dir.as_path()));
    metrics.privileges_kept.set(kept.into());
    let spool = open_spool(&config)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (chunks, queue) = sync_channel(QUEUED_CHUNKS);
    let (mut none_left, threads) = capture_all(captures, &chunks, &stop, &metrics)?;
    drop(chunks);

    let (batches, uplink_queue) = mpsc::channel(QUEUED_BATCHES);
    let aims = config.aims;
    let progress = Arc::new(AtomicU64::new(0));
    let seen_by = Seen { beats: Arc::clone(&progress), metrics: Arc::clone(&metrics) };
    let window = spawn("window", move || build_batches(aims, &queue, &batches, &seen_by))?;
    let register = own.clone();
    let before_connect: BeforeConnect = Arc::new(move |port, remote| register.register(port, remote));
    let abandon = CancellationToken::new();
    let (senders, changes) = watch::channel(config.sender.clone());
    let uplink_config = uplink_config(&config, spool.clone(), changes, &metrics);
    let left_behind = deliver_left_behind(uplink_config.clone(), Arc::clone(&before_connect), abandon.clone());
    let left_behind = tokio::spawn(left_behind.instrument(info_span!("left_behind")));
    let uplink = Uplink::new(uplink_config, uplink_queue, before_connect);
    let uplink = uplink.run(abandon.clone()).instrument(info_span!("uplink"));
    let web = web.map(|web| tokio::spawn(http::serve(web, Arc::clone(&metrics), spool.clone())));
    let reload = Reload { settings, log, spool: spool.clone(), senders, metrics: Arc::clone(&metrics) };
    let reload = tokio::spawn(reload.at_each(hangup).instrument(info_span!("reload")));
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
    reload.abort();
    if let Some(web) = web {
        web.abort();
    }
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

/// Before anything else: a taken address should be told at once.
async fn listen(config: &RunConfig) -> Result<Option<TcpListener>, LiveError> {
    let Some(address) = config.http_listen else { return Ok(None) };
    let listener = http::listen(address).await.map_err(|source| LiveError::Listen { address, source })?;
    // The port really taken, where 0 was asked for.
    let http = listener.local_addr().unwrap_or(address);
    info!(%http, "health and metrics");
    Ok(Some(listener))
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
    metrics: &Arc<Metrics>,
) -> Result<(oneshot::Receiver<()>, Vec<JoinHandle<()>>), LiveError> {
    // Each thread holds a share; the last one to let go is heard.
    let (last, none_left) = oneshot::channel::<()>();
    let last = Arc::new(last);
    let mut threads = Vec::new();
    for (interface, capture) in captures {
        let (offer, stop, share) = (Offer::new(chunks.clone()), Arc::clone(stop), Arc::clone(&last));
        let metrics = Arc::clone(metrics);
        threads.push(spawn(&format!("capture-{interface}"), move || {
            let _span = info_span!("capture", interface).entered();
            capture_on(capture, offer, &stop, &metrics);
            drop(share);
        })?);
    }
    Ok((none_left, threads))
}

fn capture_on(mut capture: LiveCapture, mut offer: Offer, stop: &AtomicBool, metrics: &Metrics) {
    let is_stopped = || stop.load(Ordering::Relaxed);
    let mut goes_on = true;
    while goes_on && !is_stopped() {
        goes_on = capture_once(&mut capture, is_stopped, &mut offer, metrics);
    }
    // What came before that, and lies in the kernel's ring, was watched as well.
    let (stopped_at, began_at) = (now(), Instant::now());
    while goes_on && !capture.is_read_until(stopped_at) && began_at.elapsed() < LAST_READ {
        goes_on = capture_once(&mut capture, || began_at.elapsed() > HELD, &mut offer, metrics);
    }
    offer.finish();
}

/// Whether more can come.
fn capture_once(capture: &mut LiveCapture, stop: impl Fn() -> bool, offer: &mut Offer, metrics: &Metrics) -> bool {
    match capture.read_chunk(stop) {
        Ok(chunk) => {
            metrics.chunks_in.inc();
            offer.offer(chunk)
        }
        Err(error) => {
            metrics.captures_ended.inc();
            metrics.interfaces.dec();
            error!(error = %Chain(&error), "capture ended");
            false
        }
    }
}

/// Where the window shows that it goes on, and with what.
struct Seen {
    beats: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

/// Ends when no capture is left.
fn build_batches(aims: Aims, chunks: &Receiver<Chunk>, batches: &mpsc::Sender<v1::Batch>, seen: &Seen) {
    let _span = info_span!("window").entered();
    let metrics = &seen.metrics;
    let mut window = Window::new(aims);
    let mut sealed = Vec::new();
    let mut losing = false;
    while let Ok(chunk) = chunks.recv() {
        window.add(&chunk, &mut sealed);
        // Chunks come at least four times a second, if need be empty ones.
        seen.beats.fetch_add(1, Ordering::Relaxed);
        metrics.chunks_out.inc();
        for batch in sealed.drain(..) {
            let totals = Totals::of(&batch);
            let sent = batches.try_send(batch);
            if sent.is_ok() {
                metrics.count_batch(&totals);
            }
            match sent {
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
        metrics.note_window(window.left_out(), window.connections());
    }
    for batch in window.finish() {
        metrics.count_batch(&Totals::of(&batch));
        // Capture has ended: now there is nobody who must not wait.
        if let Err(unsent) = batches.blocking_send(batch) {
            let frames = Totals::of(&unsent.0).frames;
            metrics.batches_left_behind.inc();
            warn!(frames, "last batch not sent");
        }
    }
    metrics.note_window(window.left_out(), window.connections());
}

fn uplink_config(
    config: &RunConfig,
    spool: Option<SharedSpool>,
    changes: watch::Receiver<SenderConfig>,
    metrics: &Arc<Metrics>,
) -> UplinkConfig {
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
        changes: Some(changes),
        metrics: Some(Arc::clone(metrics)),
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LiveError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| LiveError::Thread { name: name.to_owned(), source })
}

/// Chunks between captures and window, 100 KB each: a fifth of a second of 300,000 packets a second, should the window
/// not get a core for so long. Twice as many did not lose less where it got too little altogether.
const QUEUED_CHUNKS: usize = 64;

/// Batches between window and uplink: some seconds of a busy port, half a second of a storm in which each packet begins a
/// slice, while one is being encoded.
const QUEUED_BATCHES: usize = 8;

/// A full ring takes less; a network that is faster than we are would never end.
const LAST_READ: Duration = Duration::from_secs(2);

/// After the signal: what is on its way should be answered for. Below the ten
/// seconds after which container engines kill.
const GRACE: Duration = Duration::from_secs(8);
