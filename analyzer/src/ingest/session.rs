//! One collector's stream, from `Hello` to its end.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use iotq_proto::{
    CheckedBatch, CollectorId,
    error::Chain,
    v1::{self, push_request, push_response},
};
use tokio::{sync::mpsc::Sender, time::sleep};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::{
    Shared, UNDER_WAY_BYTES,
    registry::{Connected, Epoch, MAX_STREAMS},
};
use crate::{
    access::{Identity, LOOK_INTERVAL},
    clock::now_ns,
};

type Answers = Sender<Result<v1::PushResponse, Status>>;

/// Runs the stream; what went wrong is told to the collector.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut stream: Streaming<v1::PushRequest>,
    answers: Answers,
    caller: Option<Identity>,
) {
    let stop = shared.stop.clone();
    let result = tokio::select! {
        result = greet_and_store(&shared, &mut stream, &answers, caller.as_ref()) => result,
        status = no_longer_valid(&shared, caller.as_ref()) => Err(status),
        () = answers.closed() => Ok(()),
    };
    if let Err(status) = result {
        if !stop.is_cancelled() {
            debug!(status = %status, "stream ended with an error");
        }
        let _ = answers.send(Err(status)).await;
    }
}

/// Waits until the caller's certificate or token is worth nothing any more.
async fn no_longer_valid(shared: &Shared, caller: Option<&Identity>) -> Status {
    let (Some(access), Some(caller)) = (&shared.access, caller) else { return std::future::pending().await };
    loop {
        sleep(LOOK_INTERVAL).await;
        if let Err(status) = access.still_valid(caller, "certificate") {
            warn!(collector = caller.name, reason = status.message(), "stream ended");
            return status;
        }
    }
}

async fn greet_and_store(
    shared: &Arc<Shared>,
    stream: &mut Streaming<v1::PushRequest>,
    answers: &Answers,
    caller: Option<&Identity>,
) -> Result<(), Status> {
    let hello = match tokio::time::timeout(HELLO_LIMIT, stream.message()).await {
        Ok(message) => match message?.and_then(|request| request.kind) {
            Some(push_request::Kind::Hello(hello)) => hello,
            Some(push_request::Kind::Batch(_)) | None => {
                return Err(Status::invalid_argument("a stream begins with Hello"));
            }
        },
        Err(_) => return Err(Status::deadline_exceeded("no Hello came")),
    };
    let collector: CollectorId =
        hello.collector.parse().map_err(|error| Status::invalid_argument(format!("{}", Chain(&error))))?;
    if let Some(caller) = caller.filter(|caller| caller.name != collector.as_str()) {
        return Err(Status::permission_denied(format!(
            "what was shown is for collector `{}`, not for `{collector}`: --name {}",
            caller.name, caller.name
        )));
    }
    if hello.epoch == 0 {
        return Err(Status::invalid_argument("epoch 0 is none"));
    }
    if !shared.storing.is_ready().await {
        return Err(Status::unavailable("the analyzer is storing what it had begun before it was stopped"));
    }
    let epoch = epoch(shared, &collector, hello.epoch).await?;
    let connected = Connected {
        collector: collector.clone(),
        version: clipped(&hello.version, 100),
        inputs: hello.inputs.iter().take(100).map(|input| clipped(input, 200)).collect(),
        certificate_expires_at: caller.map(|caller| caller.expires_at),
    };
    let now_ns = now_ns();
    info!(
        %collector,
        version = connected.version,
        clock_offset_ms = now_ns.saturating_sub(hello.sent_at_ns) / 1_000_000,
        stored_through = epoch.stored_through(),
        "collector connected"
    );
    let session = shared.registry.connect(connected);
    shared.metrics.collectors_connected.inc();
    let welcome = v1::Welcome {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        received_at_ns: now_ns,
        stored_through_seq: epoch.stored_through(),
        max_unacknowledged: MAX_UNACKNOWLEDGED,
    };
    let ended = match send(answers, push_response::Kind::Welcome(welcome)).await {
        Ok(()) => tokio::select! {
            ended = store_batches(shared, stream, answers, &collector, hello.epoch, &epoch) => ended,
            () = session.superseded.cancelled() => Err(superseded(shared, &collector)),
        },
        Err(status) => Err(status),
    };
    shared.metrics.collectors_connected.dec();
    info!(%collector, "collector disconnected");
    ended
}

fn superseded(shared: &Shared, collector: &CollectorId) -> Status {
    shared.metrics.streams_ended.inc();
    warn!(%collector, limit = MAX_STREAMS, "stream ended: its collector opened too many others");
    Status::resource_exhausted(format!(
        "{MAX_STREAMS} other streams of {collector} came after this one: do several collectors use its name?"
    ))
}

async fn store_batches(
    shared: &Arc<Shared>,
    stream: &mut Streaming<v1::PushRequest>,
    answers: &Answers,
    collector: &CollectorId,
    epoch_number: u64,
    epoch: &Arc<Epoch>,
) -> Result<(), Status> {
    let mut storing = FuturesUnordered::new();
    let mut fullness = shared.store.fullness();
    let hold = fullness.borrow_and_update().clone();
    if let Some(reason) = hold {
        send(answers, push_response::Kind::Hold(v1::Hold { reason })).await?;
    }
    let mut sources = HashSet::new();
    let mut refused = 0;
    let mut open = true;
    while open || !storing.is_empty() {
        tokio::select! {
            Some(answer) = storing.next(), if !storing.is_empty() => match answer {
                Some(answer) => send(answers, answer).await?,
                None => return Err(stopping()),
            },
            () = shared.stop.cancelled(), if open => open = false,
            Ok(()) = fullness.changed() => {
                let reason = fullness.borrow_and_update().clone().unwrap_or_default();
                send(answers, push_response::Kind::Hold(v1::Hold { reason })).await?;
            }
            message = stream.message(), if open && may_read(shared, storing.len()) => {
                let Some(request) = message? else {
                    open = false;
                    continue;
                };
                let Some(push_request::Kind::Batch(batch)) = request.kind else {
                    return Err(Status::invalid_argument("after Hello come batches"));
                };
                let seq = batch.seq;
                match CheckedBatch::try_from(batch) {
                    Ok(batch) if batch.id().collector == *collector && batch.id().epoch == epoch_number => {
                        if let Some(spool) = batch.batch().spool {
                            shared.registry.note_spool(collector, spool);
                        }
                        let source = batch.batch().source.as_ref();
                        let is_new_source = source.is_some_and(|source| sources.insert(source.fingerprint.clone()));
                        let under_way = Octets::of(shared, batch.encoded_len());
                        storing.push(async move {
                            let _under_way = under_way;
                            store(shared, Arc::new(batch), epoch, is_new_source).await
                        });
                    }
                    Ok(batch) => {
                        let reason = format!("batch {} on the stream of {collector}/{epoch_number}", batch.id());
                        refuse(shared, answers, &mut refused, seq, reason).await?;
                    }
                    Err(error) => {
                        let reason = Chain(&error).to_string();
                        refuse(shared, answers, &mut refused, seq, reason).await?;
                    }
                }
            }
        }
    }
    if shared.stop.is_cancelled() {
        return Err(stopping());
    }
    Ok(())
}

fn stopping() -> Status {
    Status::unavailable("the analyzer is stopping")
}

/// Whether a stream with so many batches under way may be read on.
fn may_read(shared: &Shared, storing: usize) -> bool {
    let is_crowded = shared.under_way_bytes.load(Ordering::Relaxed) >= UNDER_WAY_BYTES;
    storing < if is_crowded { 1 } else { CONCURRENT_BATCHES }
}

/// Octets under way, as long as it lives.
struct Octets<'a> {
    all: &'a AtomicUsize,
    octets: usize,
}

impl<'a> Octets<'a> {
    fn of(shared: &'a Shared, octets: usize) -> Self {
        shared.under_way_bytes.fetch_add(octets, Ordering::Relaxed);
        Self { all: &shared.under_way_bytes, octets }
    }
}

impl Drop for Octets<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// Refuses a batch for what is in it; ends a stream that brings nothing else.
async fn refuse(
    shared: &Shared,
    answers: &Answers,
    refused: &mut usize,
    seq: u64,
    reason: String,
) -> Result<(), Status> {
    *refused += 1;
    if *refused > MAX_REFUSED {
        shared.metrics.streams_ended.inc();
        warn!(refused = MAX_REFUSED, reason, "stream ended: too many of its batches were refused");
        return Err(Status::resource_exhausted(format!(
            "{MAX_REFUSED} batches of this stream were refused, and so would be the next: {reason}"
        )));
    }
    send(answers, rejected(shared, seq, reason)).await
}

fn rejected(shared: &Shared, seq: u64, reason: String) -> push_response::Kind {
    shared.metrics.batches_rejected.inc();
    warn!(seq, reason, "batch rejected");
    push_response::Kind::Reject(v1::Reject { seq, reason })
}

/// Stores a batch, however long that takes. `None`: the analyzer stops.
async fn store(
    shared: &Shared,
    batch: Arc<CheckedBatch>,
    epoch: &Arc<Epoch>,
    is_new_source: bool,
) -> Option<push_response::Kind> {
    let seq = batch.id().seq;
    let source_stored_at_ns = match epoch.begin(seq).await {
        None => {
            shared.metrics.batches_repeated.inc();
            None
        }
        Some(under_way) => match shared.storing.store(batch, under_way, is_new_source).await? {
            Ok(stored_at_ns) => stored_at_ns,
            Err(poison) => return Some(rejected(shared, seq, poison)),
        },
    };
    Some(push_response::Kind::Ack(v1::Ack { seq, source_stored_at_ns }))
}

async fn epoch(shared: &Shared, collector: &CollectorId, epoch: u64) -> Result<Arc<Epoch>, Status> {
    if let Some(known) = shared.registry.epoch(collector, epoch) {
        return Ok(known);
    }
    // It is never closed.
    let _permit = shared.opening.acquire().await;
    match shared.store.stored_seqs(collector, epoch).await {
        Ok(stored) => Ok(shared.registry.enter(collector, epoch, stored)),
        Err(error) => {
            warn!(%collector, error = %Chain(&error), "stored batches not known");
            Err(Status::unavailable("the store does not answer"))
        }
    }
}

async fn send(answers: &Answers, kind: push_response::Kind) -> Result<(), Status> {
    let response = v1::PushResponse { kind: Some(kind) };
    answers.send(Ok(response)).await.map_err(|_| Status::cancelled("the collector hung up"))
}

/// A text from outside, not longer than it may be.
fn clipped(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// A collector that opens a stream has something to say.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// A collector with a fault that makes so many would fill the log; a new stream takes it some time.
const MAX_REFUSED: usize = 256;
/// Batches of one stream that are stored at once.
const CONCURRENT_BATCHES: usize = 4;
/// Enough to keep the store busy over a slow link; at 4 MiB each 64 MiB in the collector.
const MAX_UNACKNOWLEDGED: u32 = 16;
