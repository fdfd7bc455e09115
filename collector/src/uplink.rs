//! Brings batches to the analyzer: in order, each until it was answered.
//!
//! One task owns the connection and the batches without an answer. Closing the
//! queue of batches ends it once all were answered.

mod accounted;
mod backoff;
mod codec;
#[cfg(test)]
mod conservation;
mod link;
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

use bytes::Bytes;
use iotq_proto::{CollectorId, LossStage, error::Chain, tls::TlsFiles, v1};
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

pub use self::link::{BeforeConnect, LinkError};
use self::{
    accounted::accounted,
    backoff::Backoff,
    codec::Message,
    link::Link,
    unacknowledged::{Limits, Unacknowledged, Waiting},
};
use crate::{
    config::{AnalyzerUrl, SenderConfig},
    metrics::Metrics,
    spool::{Header, SharedSpool},
    totals::Totals,
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

/// What became of the batches.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Batches that are stored.
    pub batches: u64,
    /// What they account for.
    pub stored: Totals,
    /// What batches accounted for that were refused, as lost.
    pub rejected: Totals,
    /// What those accounted for that nobody answered for, as lost.
    pub unacknowledged: Totals,
    /// Batches that nobody answered for, and that are not in the spool either.
    pub unacknowledged_batches: u64,
    /// Batches that wait in the spool for the next start.
    pub spooled_batches: u64,
    /// Why it ended before all batches were answered.
    pub failure: Option<UplinkError>,
}

/// Why batches were left behind.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// Nobody answered for too long.
    #[error("no answer from an analyzer for {} s: is `iotq-analyzer serve` running, and is {tried} where it listens, with https:// if it has certificates?", .after.as_secs())]
    GaveUp {
        /// For how long.
        after: Duration,
        /// The URLs.
        tried: String,
        /// What the last attempt died of.
        #[source]
        source: Option<LinkError>,
    },
    /// It is there, but its store is full.
    #[error("nothing was stored for {} s: the analyzer at {url} says that {reason}", .after.as_secs())]
    Held {
        /// For how long.
        after: Duration,
        /// Which one.
        url: String,
        /// What it said.
        reason: String,
    },
    /// Trying again does not help.
    #[error("the analyzer at {url} refuses this collector")]
    Refused {
        /// Which one.
        url: String,
        /// What it said.
        #[source]
        source: LinkError,
    },
    /// We had to end.
    #[error("ended before the analyzer had answered for everything")]
    Abandoned,
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
        self.store.rewind();
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

    /// Numbers the batch, encodes it, and keeps it until it is answered.
    fn accept(&mut self, mut batch: v1::Batch) {
        self.seq += 1;
        let totals = Totals::of(&batch);
        let mut carried = std::mem::take(&mut self.carried);
        if let Some(spool) = &self.config.spool {
            for (stage, packets) in spool.lock().take_losses() {
                *carried.entry(stage).or_default() += packets;
            }
        }
        add_losses(&mut batch, &carried);
        batch.collector = self.config.collector.as_str().to_owned();
        batch.epoch = self.config.epoch;
        batch.seq = self.seq;
        batch.sealed_at_ns = clock_ns().saturating_add(self.clock_offset_ns);
        let header =
            Header { epoch: batch.epoch, seq: batch.seq, sealed_at_ns: batch.sealed_at_ns, frames: batch.frames };
        let source = batch.source.clone();
        let request = v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) };
        if self.is_all_answered() {
            // From now on somebody has to answer.
            self.progress_at = Instant::now();
        }
        let message = Bytes::from(request.encode_to_vec());
        let mut is_spooled = false;
        if let Some(spool) = &self.config.spool {
            let mut spool = spool.lock();
            // What is on disk already goes first.
            let is_next = self.may_load() && self.store.has_room() && !spool.has_more(header.epoch);
            is_spooled =
                (self.config.live || !is_next) && spool.put((header.epoch, header.seq), header, &message).is_ok();
            if is_spooled && !is_next {
                return;
            }
            spool.mark_loaded((header.epoch, header.seq));
        }
        self.store.push(self.seq, Waiting { message, totals, carried, source, is_spooled });
    }

    /// How the spool is, as an addition to an encoded batch: of a message that is there
    /// twice Protocol Buffers make one, with the fields of both. So it tells what is now,
    /// not what was when the batch was sealed.
    fn state(&self) -> Bytes {
        let (batches, bytes) = self.store.unspooled();
        let spool = match &self.config.spool {
            Some(spool) => {
                let level = spool.lock().level();
                v1::SpoolState {
                    batches: level.batches + batches,
                    bytes: level.bytes + bytes,
                    oldest_sealed_at_ns: level.oldest_sealed_at_ns,
                    degraded: level.is_degraded,
                    given_up_frames: level.given_up_frames,
                    damaged_files: level.damaged_files,
                }
            }
            None if self.config.live => v1::SpoolState { batches, bytes, degraded: true, ..v1::SpoolState::default() },
            None => return Bytes::new(),
        };
        let batch = v1::Batch { spool: Some(spool), ..v1::Batch::default() };
        v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) }.encode_to_vec().into()
    }

    /// Puts live batches that had to stay in memory into a spool that works again.
    fn respool(&mut self) {
        let Some(spool) = self.config.spool.clone().filter(|_| self.config.live) else { return };
        let mut spool = spool.lock();
        spool.probe();
        while !spool.level().is_degraded {
            let Some((seq, batch)) = self.store.first_unspooled() else { return };
            let key = (self.config.epoch, seq);
            let header = Header { epoch: key.0, seq, sealed_at_ns: clock_ns(), frames: batch.totals.frames };
            if spool.put(key, header, &batch.message).is_err() {
                return;
            }
            spool.mark_loaded(key);
            self.store.note_spooled(seq);
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

    /// Reads batches from the spool, as many as there is room for.
    fn load(&mut self) {
        let Some(spool) = self.config.spool.as_ref().filter(|_| self.may_load()) else { return };
        while self.store.has_room() {
            let Some((seq, message)) = spool.lock().load_next(self.config.epoch) else { return };
            let (totals, source) = accounted(&message);
            self.store.push(seq, Waiting { message, totals, carried: BTreeMap::new(), source, is_spooled: true });
        }
    }

    /// Live batches are read from the spool when there is somebody to send them to: what is
    /// in memory is not given up, and would be beyond the spool's limits.
    fn may_load(&self) -> bool {
        !self.config.live || matches!(self.connection, Connection::Up(_))
    }

    fn is_all_answered(&self) -> bool {
        let is_more_spooled =
            || self.config.spool.as_ref().is_some_and(|spool| spool.lock().has_more(self.config.epoch));
        self.store.is_empty() && !is_more_spooled()
    }

    /// Whether another batch may come. A live one pushes the oldest out of the
    /// spool; a file can wait.
    fn has_room(&self) -> bool {
        self.store.has_room()
            || self.config.spool.as_ref().is_some_and(|spool| {
                let spool = spool.lock();
                // One that takes none is asked by `respool`: here each attempt would be a batch more in memory.
                if self.config.live { !spool.level().is_degraded } else { spool.has_room() }
            })
    }

    /// Tells the spool that a batch was answered.
    fn unspool(&self, seq: u64, batch: &Waiting, is_stored: bool) {
        let Some(spool) = self.config.spool.as_ref().filter(|_| batch.is_spooled) else { return };
        if is_stored {
            spool.lock().remove((self.config.epoch, seq));
        } else {
            spool.lock().reject((self.config.epoch, seq));
        }
    }

    /// When the last batches were refused, no other reports it: one more does.
    fn push_last_losses(&mut self) -> bool {
        let are_more = || self.config.spool.as_ref().is_some_and(|spool| spool.lock().has_losses());
        if self.config.is_left_behind || (self.carried.is_empty() && !are_more()) {
            return false;
        }
        let source = self.carried_source.take();
        self.accept(v1::Batch { source, ..Default::default() });
        true
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

    fn opened(&mut self, link: Link) -> mpsc::Sender<Message> {
        let analyzer = self.url();
        if self.reported_down {
            info!(%analyzer, version = link.welcome.version, "connected to the analyzer again");
        } else {
            info!(%analyzer, version = link.welcome.version, "connected to the analyzer");
        }
        self.reported_down = false;
        self.refusals = 0;
        if !self.welcomed {
            // It was started late: that is progress, but only once.
            self.welcomed = true;
            self.progress_at = Instant::now();
        }
        self.heard_at = Instant::now();
        self.set_held(None);
        self.return_at = (self.analyzer > 0).then(|| Instant::now() + self.limits.return_after);
        self.clock_offset_ns = link.clock_offset_ns;
        self.count(|metrics| {
            metrics.connects.inc();
            metrics.clock_offset_ms.set(link.clock_offset_ns / 1_000_000);
        });
        // 0 would be a promise never to store anything: one at a time, then.
        self.max_in_flight = usize::try_from(link.welcome.max_unacknowledged).unwrap_or(usize::MAX).max(1);
        self.store.rewind();
        let stored_through = link.welcome.stored_through_seq;
        for (seq, batch) in self.store.settle_through(stored_through) {
            self.unspool(seq, &batch, true);
            self.stored(&batch);
        }
        if let Some(spool) = &self.config.spool {
            self.outcome.batches += spool.lock().remove_through(self.config.epoch, stored_through);
        }
        self.set_connection(Connection::Up(Box::new(link.responses)));
        link.requests
    }

    fn answered(&mut self, response: v1::PushResponse) {
        if let Some(v1::push_response::Kind::Hold(hold)) = response.kind {
            // No answer: from an analyzer that stays like that, the next one is to take over.
            self.hold(hold.reason);
            return;
        }
        self.heard_at = Instant::now();
        match response.kind {
            Some(v1::push_response::Kind::Ack(ack)) => {
                // An answer repeated is none.
                let Some(batch) = self.store.settle(ack.seq) else { return };
                debug!(seq = ack.seq, packets = batch.totals.packets, "batch stored");
                if let Some(stored_at_ns) = ack.source_stored_at_ns {
                    self.warn_stored_again(batch.source.as_ref(), stored_at_ns);
                }
                self.unspool(ack.seq, &batch, true);
                self.stored(&batch);
            }
            Some(v1::push_response::Kind::Reject(reject)) => {
                let Some(batch) = self.store.settle(reject.seq) else { return };
                self.unspool(reject.seq, &batch, false);
                self.rejected(&reject, batch);
            }
            // A second welcome, or something that a later release says.
            Some(v1::push_response::Kind::Welcome(_) | v1::push_response::Kind::Hold(_)) | None => {}
        }
    }

    /// The analyzer cannot store anything, or can again.
    fn hold(&mut self, reason: String) {
        if reason.is_empty() {
            if self.set_held(None).is_some() {
                info!(analyzer = self.url(), "the analyzer stores again");
            }
        } else if self.held.is_none() {
            warn!(analyzer = self.url(), reason, "the analyzer cannot store anything, batches wait");
            self.count(|metrics| {
                metrics.holds.inc();
            });
            self.set_held(Some(reason));
        }
    }

    /// Returns what was said before.
    fn set_held(&mut self, reason: Option<String>) -> Option<String> {
        self.count(|metrics| {
            metrics.held.set(i64::from(reason.is_some()));
        });
        std::mem::replace(&mut self.held, reason)
    }

    fn stored(&mut self, batch: &Waiting) {
        self.backoff.reset();
        self.progressed();
        self.count(|metrics| {
            metrics.batches_stored.inc();
        });
        self.outcome.batches += 1;
        self.outcome.stored.add(&batch.totals);
    }

    fn rejected(&mut self, reject: &v1::Reject, batch: Waiting) {
        let lost = batch.totals.lost_at(LossStage::Rejected);
        let newly_lost = lost.frames.saturating_sub(batch.totals.lost_packets());
        self.count(|metrics| {
            metrics.batches_refused.inc();
            metrics.count_lost(LossStage::Rejected, newly_lost);
        });
        error!(seq = reject.seq, frames = lost.frames, reason = reject.reason, "batch refused by the analyzer");
        self.progressed();
        if let Some(spool) = self.config.spool.as_ref().filter(|_| self.config.is_left_behind) {
            // A batch of the present start reports it.
            spool.lock().note_losses(&lost.lost);
        } else if batch.totals != Totals::default() || batch.carried.is_empty() {
            // Unless all it had to say was losses like this: nobody wants to know.
            for losses in [&lost.lost, &batch.carried] {
                for (stage, packets) in losses {
                    *self.carried.entry(*stage).or_default() += packets;
                }
            }
            self.carried_source = batch.source;
        }
        self.outcome.rejected.add(&lost);
    }

    fn progressed(&mut self) {
        self.progress_at = Instant::now();
        self.welcomed = false;
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
        self.store.rewind();
        Ok(error)
    }

    fn warn_stored_again(&mut self, source: Option<&v1::ReplaySource>, stored_at_ns: i64) {
        let Some(source) = source else { return };
        if self.warned_sources.insert(source.fingerprint.clone()) {
            let stored_at = jiff::Timestamp::from_nanosecond(stored_at_ns.into()).unwrap_or_default();
            warn!(file = source.name, %stored_at, "a capture that begins like this one is stored already: stored again");
        }
    }

    /// Takes stock of what is left.
    async fn end(mut self, failure: Option<UplinkError>) -> Outcome {
        self.batches.close();
        while let Some(batch) = self.batches.recv().await {
            self.accept(batch);
        }
        let epoch = self.config.epoch;
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

/// Delivers what earlier starts left in the spool, the oldest first, each on a
/// stream of its own. What could not be delivered stays where it is.
pub async fn deliver_left_behind(
    config: UplinkConfig,
    before_connect: BeforeConnect,
    abandon: CancellationToken,
) -> Outcome {
    let mut sum = Outcome::default();
    let Some(spool) = config.spool.clone() else { return sum };
    let epochs = spool.lock().epochs_but(config.epoch);
    for epoch in epochs {
        // There are no new batches of that start.
        let (_, none) = mpsc::channel(1);
        let config = UplinkConfig { epoch, is_left_behind: true, ..config.clone() };
        let outcome = Uplink::new(config, none, before_connect.clone()).run(abandon.clone()).await;
        sum.batches += outcome.batches;
        sum.stored.add(&outcome.stored);
        sum.rejected.add(&outcome.rejected);
        sum.spooled_batches += outcome.spooled_batches;
        if outcome.failure.is_some() {
            sum.failure = outcome.failure;
            break;
        }
    }
    if sum.batches > 0 {
        info!(batches = sum.batches, frames = sum.stored.frames, "batches that an earlier start had left are stored");
    }
    sum
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

fn add_losses(batch: &mut v1::Batch, carried: &BTreeMap<LossStage, u64>) {
    for (stage, packets) in carried {
        batch.frames += packets;
        match batch.lost.iter_mut().find(|count| count.stage() == *stage) {
            Some(count) => count.packets += packets,
            None => batch.lost.push(v1::LossCount { stage: (*stage).into(), packets: *packets }),
        }
    }
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
