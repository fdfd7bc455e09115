//! Brings batches to the analyzer: in order, each until it was answered.
//!
//! One task owns the connection and the batches without an answer. Closing the
//! queue of batches ends it once all were answered.

mod accounted;
mod answers;
mod backoff;
mod codec;
#[cfg(test)]
mod conservation;
mod left_behind;
mod link;
mod outcome;
mod spooling;
#[cfg(test)]
mod tests;
mod unacknowledged;

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use iotq_proto::{CollectorId, LossStage, error::Chain, tls::TlsFiles, v1};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::{
    backoff::Backoff,
    codec::Message,
    link::Link,
    unacknowledged::{Limits, Unacknowledged},
};
pub use self::{
    left_behind::deliver_left_behind,
    link::{BeforeConnect, LinkError},
    outcome::{Outcome, UplinkError},
};
use crate::{
    config::{AnalyzerUrl, SenderConfig},
    metrics::Metrics,
    spool::{Header, SharedSpool},
};

/// What the uplink has to know before it begins.
#[derive(Clone, Debug)]
pub struct UplinkConfig {
    /// Who we are.
    pub collector: CollectorId,
    /// This start of ours; see [`new_epoch`].
    pub epoch: u64,
    /// Interfaces or files, for the analyzer's status.
    pub inputs: Vec<String>,
    /// Whether these are interfaces.
    pub live: bool,
    /// Where to; the next one when one fails. At least one.
    pub analyzers: Vec<AnalyzerUrl>,
    /// What is shown to those with https.
    pub tls: TlsFiles,
    /// Give up when batches have waited so long without a single answer. `None`:
    /// never.
    pub give_up_after: Option<Duration>,
    /// Where batches lie until they are answered. `None`: in memory. Live ones are
    /// put there before they are sent, those of files if there are too many.
    pub spool: Option<SharedSpool>,
    /// What an earlier start left in the spool is all there is to send.
    pub is_left_behind: bool,
    /// Tells of other analyzers and certificates. `None`: there will be none.
    pub changes: Option<watch::Receiver<SenderConfig>>,
    /// Where things are counted, if anybody looks.
    pub metrics: Option<Arc<Metrics>>,
}

/// The task that talks to the analyzer.
pub struct Uplink {
    config: UplinkConfig,
    batches: mpsc::Receiver<v1::Batch>,
    before_connect: BeforeConnect,
    store: Unacknowledged,
    seq: u64,
    clock_offset_ns: i64,
    /// Losses of refused batches that no batch has reported yet.
    carried: BTreeMap<LossStage, u64>,
    /// Of the batch refused last: where `carried` comes from.
    carried_source: Option<v1::ReplaySource>,
    connection: Connection,
    /// How many batches the analyzer lets wait for their answer.
    max_in_flight: usize,
    backoff: Backoff,
    analyzer: usize,
    /// One after the other, without a welcome in between.
    refusals: usize,
    reported_down: bool,
    progress_at: Instant,
    /// When something was last heard on the stream, or somebody had to answer.
    heard_at: Instant,
    /// Why the analyzer cannot store anything just now.
    held: Option<String>,
    /// When to have a look at the first analyzer again.
    return_at: Option<Instant>,
    limits: TimeLimits,
    /// Whether a welcome was taken for progress since the last answer.
    welcomed: bool,
    warned_sources: HashSet<Vec<u8>>,
    outcome: Outcome,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
struct TimeLimits {
    /// No answer, while there is another analyzer.
    stalled: Duration,
    /// No answer, and there is no other analyzer.
    stalled_alone: Duration,
    /// Using another analyzer than the first.
    return_after: Duration,
}

enum Connection {
    /// Until the next attempt.
    Down {
        until: Instant,
    },
    Opening(Pin<Box<dyn Future<Output = Result<Link, LinkError>> + Send>>),
    Up(Box<tonic::Streaming<v1::PushResponse>>),
}

enum Event {
    Due,
    Opened(Result<Box<Link>, LinkError>),
    Response(Result<v1::PushResponse, LinkError>),
}

impl Uplink {
    /// Connects only when it runs.
    #[must_use]
    pub fn new(config: UplinkConfig, batches: mpsc::Receiver<v1::Batch>, before_connect: BeforeConnect) -> Self {
        let limits = match (&config.spool, config.live) {
            (Some(_), true) => Limits::BEFORE_SPOOL_LIVE,
            (Some(_), false) => Limits::BEFORE_SPOOL,
            (None, _) => Limits::MEMORY_ONLY,
        };
        Self {
            config,
            batches,
            before_connect,
            store: Unacknowledged::new(limits),
            seq: 0,
            clock_offset_ns: 0,
            carried: BTreeMap::new(),
            carried_source: None,
            connection: Connection::Down { until: Instant::now() },
            max_in_flight: 1,
            backoff: Backoff::default(),
            analyzer: 0,
            refusals: 0,
            reported_down: false,
            progress_at: Instant::now(),
            heard_at: Instant::now(),
            held: None,
            return_at: None,
            limits: TimeLimits { stalled: STALLED, stalled_alone: STALLED_ALONE, return_after: RETURN_AFTER },
            welcomed: false,
            warned_sources: HashSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// Runs until all batches are answered, or until that cannot be: given up,
    /// refused, or `abandon`ed.
    pub async fn run(mut self, abandon: CancellationToken) -> Outcome {
        let mut requests: Option<mpsc::Sender<Message>> = None;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        let mut last_error = None;
        let failure = loop {
            self.load();
            if !open && self.is_all_answered() && !self.push_last_losses() {
                break None;
            }
            let has_room = self.has_room();
            let may_send = self.store.has_unsent() && self.store.in_flight() < self.max_in_flight && !self.is_leaving();
            let give_up_at = self.give_up_at();
            tokio::select! {
                () = abandon.cancelled() => break Some(UplinkError::Abandoned),
                event = self.connection.next() => match event {
                    Event::Due => self.connect(),
                    Event::Opened(Ok(link)) => requests = Some(self.opened(*link)),
                    Event::Response(Ok(response)) => self.answered(response),
                    Event::Opened(Err(error)) | Event::Response(Err(error)) => {
                        requests = None;
                        match self.failed(error) {
                            Ok(error) => last_error = Some(error),
                            Err(refused) => break Some(refused),
                        }
                    }
                },
                permit = reserve(requests.clone()), if may_send && requests.is_some() => {
                    match permit.zip(self.store.send_next()) {
                        Some((permit, (seq, message))) => {
                            if let Some(spool) = &self.config.spool {
                                spool.lock().mark_sent((self.config.epoch, seq));
                            }
                            debug!(seq, bytes = message.len(), "batch sent");
                            if self.store.in_flight() == 1 {
                                self.heard_at = Instant::now();
                            }
                            permit.send(Message { batch: message, addition: self.state() });
                        }
                        // The call has ended; the reason comes with the responses.
                        None => requests = None,
                    }
                },
                sender = changed(&mut self.config.changes) => {
                    info!("other analyzers or certificates: connecting again");
                    requests = None;
                    (self.config.analyzers, self.config.tls) = (sender.analyzers, sender.tls);
                    self.begin_with_the_first();
                }
                batch = self.batches.recv(), if open && has_room => match batch {
                    Some(batch) => {
                        self.count(|metrics| {
                            metrics.batches_out.inc();
                        });
                        self.accept(batch);
                    }
                    None => open = false,
                },
                _ = tick.tick() => {
                    self.respool();
                    if let Some(error) = self.stalled() {
                        requests = None;
                        match self.failed(error) {
                            Ok(error) => last_error = Some(error),
                            Err(refused) => break Some(refused),
                        }
                    } else if self.is_leaving() && self.store.in_flight() == 0 {
                        info!(analyzer = self.url(), "trying the first analyzer again");
                        requests = None;
                        self.begin_with_the_first();
                    }
                }
                () = sleep_until(give_up_at.unwrap_or_else(Instant::now)), if give_up_at.is_some() => {
                    let after = self.config.give_up_after.unwrap_or_default();
                    if let Some(reason) = self.held.take() {
                        break Some(UplinkError::Held { after, url: self.url(), reason });
                    }
                    break Some(UplinkError::GaveUp { after, tried: self.tried(), source: last_error });
                },
            }
        };
        drop(requests);
        self.end(failure).await
    }

    /// Leaves the connection there is for one to the first analyzer.
    fn begin_with_the_first(&mut self) {
        (self.analyzer, self.refusals, self.return_at) = (0, 0, None);
        self.set_connection(Connection::Down { until: Instant::now() });
        self.rewind();
    }

    /// Nothing was sent on the connection that is there now.
    fn rewind(&mut self) {
        self.store.rewind();
        if let Some(spool) = &self.config.spool {
            spool.lock().rewind(self.config.epoch);
        }
    }

    fn set_connection(&mut self, connection: Connection) {
        let is_up = |connection: &Connection| i64::from(matches!(connection, Connection::Up(_)));
        let change = is_up(&connection) - is_up(&self.connection);
        self.count(|metrics| {
            metrics.connected.inc_by(change);
        });
        self.connection = connection;
    }

    fn count(&self, count: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.config.metrics {
            count(metrics);
        }
    }

    /// Why this connection is of no use any more, though it is there.
    fn stalled(&self) -> Option<LinkError> {
        if self.store.in_flight() == 0 || !matches!(self.connection, Connection::Up(_)) {
            return None;
        }
        let is_alone = self.config.analyzers.len() < 2;
        let limit = if is_alone { self.limits.stalled_alone } else { self.limits.stalled };
        let on_their_way = Duration::from_secs(self.store.in_flight_bytes() / SLOWEST_BYTES);
        let silent = self.heard_at.elapsed();
        (silent > limit + on_their_way).then_some(LinkError::Stalled(silent))
    }

    /// Whether nothing more is to be sent on this connection, as the first analyzer is to be tried again.
    fn is_leaving(&self) -> bool {
        matches!(self.connection, Connection::Up(_)) && self.return_at.is_some_and(|at| at <= Instant::now())
    }

    fn connect(&mut self) {
        let Some(url) = self.config.analyzers.get(self.analyzer).cloned() else {
            // `Config` sees to it that there is one.
            self.set_connection(Connection::Down { until: Instant::now() + Duration::from_secs(1) });
            return;
        };
        let hello = v1::Hello {
            collector: self.config.collector.as_str().to_owned(),
            epoch: self.config.epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: self.config.inputs.clone(),
            live: self.config.live,
            sent_at_ns: 0,
        };
        let opening = Link::open(url, self.config.tls.clone(), hello, self.before_connect.clone());
        self.set_connection(Connection::Opening(Box::pin(opening)));
    }

    /// Waits before the next attempt, unless none can help.
    fn failed(&mut self, error: LinkError) -> Result<LinkError, UplinkError> {
        self.count(|metrics| {
            metrics.disconnects.inc();
            metrics.stalls.inc_by(u64::from(matches!(error, LinkError::Stalled(_))));
        });
        let url = self.url();
        self.refusals = if error.is_permanent() { self.refusals + 1 } else { 0 };
        if self.refusals >= self.config.analyzers.len() {
            return Err(UplinkError::Refused { url, source: error });
        }
        if self.reported_down {
            debug!(analyzer = url, error = %Chain(&error), "analyzer still out of reach");
        } else {
            warn!(analyzer = url, error = %Chain(&error), "analyzer out of reach, trying again");
        }
        self.reported_down = true;
        self.analyzer = (self.analyzer + 1) % self.config.analyzers.len().max(1);
        // After each round through all of them, a rest.
        let pause = if self.analyzer == 0 { self.backoff.next() } else { Duration::ZERO };
        self.set_connection(Connection::Down { until: Instant::now() + pause });
        self.rewind();
        Ok(error)
    }

    /// Takes stock of what is left.
    async fn end(mut self, failure: Option<UplinkError>) -> Outcome {
        self.batches.close();
        while let Some(batch) = self.batches.recv().await {
            self.accept(batch);
        }
        let epoch = self.config.epoch;
        self.rewind();
        for (seq, batch) in self.store.drain() {
            let header = Header { epoch, seq, sealed_at_ns: clock_ns(), frames: batch.totals.frames };
            let keep = |spool: &SharedSpool| spool.lock().put((epoch, seq), header, &batch.message).is_ok();
            if !batch.is_spooled && !self.config.spool.as_ref().is_some_and(keep) {
                self.outcome.unacknowledged_batches += 1;
                self.count(|metrics| {
                    metrics.batches_left_behind.inc();
                });
                self.outcome.unacknowledged.add(&batch.totals.lost_at(LossStage::Unacknowledged));
            }
        }
        self.outcome.spooled_batches = self.config.spool.as_ref().map_or(0, |spool| spool.lock().batches_of(epoch));
        if let Connection::Up(responses) = &mut self.connection {
            // Our half is closed: let the analyzer end the call as it should.
            let ended = async { while let Ok(Some(_)) = responses.message().await {} };
            let _ = timeout(GOODBYE_TIMEOUT, ended).await;
        }
        self.set_connection(Connection::Down { until: Instant::now() });
        self.set_held(None);
        self.outcome.failure = failure;
        self.outcome
    }

    fn give_up_at(&self) -> Option<Instant> {
        let after = self.config.give_up_after?;
        (!self.is_all_answered()).then(|| self.progress_at + after)
    }

    fn url(&self) -> String {
        self.config.analyzers.get(self.analyzer).map(ToString::to_string).unwrap_or_default()
    }

    fn tried(&self) -> String {
        self.config.analyzers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl Connection {
    /// Cancel-safe: what is under way stays in `self`.
    async fn next(&mut self) -> Event {
        match self {
            Self::Down { until } => {
                sleep_until(*until).await;
                Event::Due
            }
            Self::Opening(opening) => Event::Opened(opening.await.map(Box::new)),
            Self::Up(responses) => Event::Response(match responses.message().await {
                Ok(Some(response)) => Ok(response),
                Ok(None) => Err(LinkError::Closed),
                Err(status) => Err(status.into()),
            }),
        }
    }
}

/// What has to be added to this host's clock to get an analyzer's: no more than what was seen
/// proves. Says hello to it and nothing else.
///
/// # Errors
/// If it does not answer, or refuses this collector.
pub async fn clock_offset(
    analyzer: AnalyzerUrl,
    sender: &SenderConfig,
    before_connect: BeforeConnect,
) -> Result<i64, LinkError> {
    let hello = v1::Hello {
        collector: sender.collector.as_str().to_owned(),
        epoch: new_epoch(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: Vec::new(),
        live: false,
        sent_at_ns: 0,
    };
    let link = Link::open(analyzer, sender.tls.clone(), hello, before_connect).await?;
    Ok(link.clock_offset_ns)
}

/// A number for this start: greater for a later one, and never used twice, even
/// by two that start in one millisecond or after the clock was set back a little.
#[must_use]
pub fn new_epoch() -> u64 {
    let millis = u64::try_from(clock_ns() / 1_000_000).unwrap_or_default();
    (millis << 20 | u64::from(rand::random::<u32>() >> 12)).max(1)
}

/// Waits for other analyzers or certificates; for ever if nobody can tell of any.
async fn changed(changes: &mut Option<watch::Receiver<SenderConfig>>) -> SenderConfig {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return changes.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// Waits for room; `None` if the call has ended.
async fn reserve(requests: Option<mpsc::Sender<Message>>) -> Option<mpsc::OwnedPermit<Message>> {
    requests?.reserve_owned().await.ok()
}

/// The clock of this host; nanoseconds since 1970.
pub(crate) fn clock_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

/// How long an analyzer may take to end a call that we have ended.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// How often it is looked at what time brings.
const TICK: Duration = Duration::from_secs(1);

/// Storing a batch takes a tenth of a second, and restarting the engine some
/// seconds: after this another analyzer is the better choice.
const STALLED: Duration = Duration::from_secs(30);

/// Where there is no other one, only a fresh connection can be tried.
const STALLED_ALONE: Duration = Duration::from_secs(300);

/// Half a megabit a second: what is on its way has that much longer.
const SLOWEST_BYTES: u64 = 62_500;

/// How long another analyzer is used before the first one is tried again.
const RETURN_AFTER: Duration = Duration::from_secs(300);
