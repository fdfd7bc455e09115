//! Taking batches from collectors: gRPC to store and back.
//!
//! A stream is one collector's. Batches are checked, stored (a few at a time, small ones
//! of all streams together) and then acknowledged, in whatever order they end. While
//! the store cannot take more, the stream is not read: HTTP/2 makes the collector wait.

mod registry;
mod session;
mod storing;

use std::sync::{Arc, atomic::AtomicUsize};

use iotq_proto::{
    CheckedBatch,
    v1::{self, ingest_server::Ingest},
};
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, info_span};

pub use self::registry::{Connected, Registry};
use self::storing::Storing;
use crate::{
    access::{Access, Caller, Peer},
    metrics::Metrics,
    store::Store,
};

/// The gRPC service.
#[derive(Clone)]
pub struct IngestService {
    shared: Arc<Shared>,
}

/// What all streams share.
struct Shared {
    store: Store,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    storing: Storing,
    /// Octets of batches that were read and not answered for, over all streams.
    under_way_bytes: AtomicUsize,
    /// For asking the store what it has of a collector: after a start all come at once.
    opening: Semaphore,
    stop: CancellationToken,
    sessions: TaskTracker,
    /// Who may go on; `None`: everybody.
    access: Option<Arc<Access>>,
}

impl IngestService {
    /// Serves until `stop`, within a runtime; [`IngestService::finish`] waits for what is under way.
    #[must_use]
    pub fn new(
        store: Store,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        stored: broadcast::Sender<Arc<CheckedBatch>>,
        stop: CancellationToken,
    ) -> Self {
        let storing = Storing::start(store.clone(), Arc::clone(&registry), Arc::clone(&metrics), stored, stop.clone());
        let shared = Shared {
            store,
            registry,
            metrics,
            storing,
            under_way_bytes: AtomicUsize::new(0),
            opening: Semaphore::new(CONCURRENT_OPENINGS),
            stop,
            sessions: TaskTracker::new(),
            access: None,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Ends streams whose certificate is revoked or expires.
    #[must_use]
    pub fn guarded_by(mut self, access: Arc<Access>) -> Self {
        // Nobody else has it yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.access = Some(access);
        }
        self
    }

    /// Waits until no batch is being stored any more.
    pub async fn finish(&self) {
        self.shared.sessions.close();
        self.shared.sessions.wait().await;
        self.shared.storing.finish().await;
    }
}

#[tonic::async_trait]
impl Ingest for IngestService {
    type PushStream = ReceiverStream<Result<v1::PushResponse, Status>>;

    async fn push(&self, request: Request<Streaming<v1::PushRequest>>) -> Result<Response<Self::PushStream>, Status> {
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.address);
        let peer = peer.map(|address| address.to_string()).unwrap_or_default();
        let caller = request.extensions().get::<Caller>().and_then(|caller| caller.0.clone());
        let (answers, stream) = mpsc::channel(ANSWER_QUEUE);
        let shared = Arc::clone(&self.shared);
        let session = session::run(shared, request.into_inner(), answers, caller);
        self.shared.sessions.spawn(session.instrument(info_span!("ingest", peer)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Far fewer than the questions that the engine answers at once (192); a thousand collectors are through in seconds.
const CONCURRENT_OPENINGS: usize = 16;
/// With more under way, each stream has one batch at most: nine of the largest usual size keep
/// the store busy.
const UNDER_WAY_BYTES: usize = 64 << 20;
/// Answers on their way; a collector that does not read them is not read either.
const ANSWER_QUEUE: usize = 64;
