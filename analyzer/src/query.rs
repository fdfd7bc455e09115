//! Answering questions: the gRPC service, and what all questions share.
//!
//! A question becomes a [`Scope`], the store answers with
//! rows, names are put on them here, and they go out in pieces, so that an answer
//! may be longer than memory.

mod connections;
mod conversations;
mod coverage;
mod destinations;
mod devices;
mod diff;
mod dns;
mod export;
mod first_seen;
mod groups;
mod keepalives;
mod limits;
mod naming;
mod packets;
mod peers;
mod selection;
mod sides;
mod status;
mod time_servers;
mod timeline;
mod tls;
mod top_talkers;
mod unanswered;

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::BoxStream};
use iotq_proto::{
    CheckedBatch, address_octets,
    error::Chain,
    v1::{self, answer, query_server::Query, question::Ask},
};
use ipnet::IpNet;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{Instrument as _, debug, info_span, warn};

pub use self::limits::QuestionLimits;
use self::{
    coverage::Covered,
    limits::{Asker, Turns},
    selection::Asked,
};
use crate::{
    access::Access,
    coverage::{Heard, Kept},
    enrich::{DeviceKey, Directory, Enrichment, Identity, KnownNames, Names, Naming, Oui, PeerNames, SharedEnrichment},
    ingest::Registry,
    metrics::Metrics,
    store::{self, Explained, HoldingsRow, IdentityColumns, Limit, ReadError, Scope, Store},
};

/// Everything that answers need.
pub struct Analyst {
    store: Store,
    names: RwLock<Arc<Names>>,
    enrichment: SharedEnrichment,
    oui: Oui,
    local_nets: RwLock<Vec<IpNet>>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stored: broadcast::Sender<Arc<CheckedBatch>>,
    directory: Cache<Directory>,
    /// Held while the directory is read: who comes meanwhile waits for it.
    reading: tokio::sync::Mutex<()>,
    peers: Cache<PeerNames>,
    usual: Cache<top_talkers::Usual>,
    holdings: Cache<Holdings>,
    /// A report asks for the same range a dozen times.
    covered: Arc<Cache<(Scope, Covered)>>,
    rhythms: Cache<(Scope, Vec<keepalives::Rhythm>)>,
    /// Our own certificate; `None`: there is none.
    access: Option<Arc<Access>>,
}

/// What was read last, as long as the registry's generation, or its number of changes, is the same.
struct Cache<T>(Mutex<Option<Cached<T>>>);

struct Cached<T> {
    generation: u64,
    loaded: Instant,
    value: Arc<T>,
}

/// What is stored, in a few words.
struct Holdings {
    /// All that there ever were.
    collectors: BTreeSet<String>,
    /// What batches tell.
    kept: Kept,
    /// When the newest packet was captured; 0: there is none.
    newest_at_ns: i64,
}

impl From<HoldingsRow> for Holdings {
    fn from(row: HoldingsRow) -> Self {
        let live = row.collectors.iter().filter(|(_, _, until_at_ns)| *until_at_ns != 0);
        let heard = |(collector, from_at_ns, until_at_ns): &(String, i64, i64)| Heard {
            collector: collector.clone(),
            from_at_ns: *from_at_ns,
            until_at_ns: *until_at_ns,
        };
        let heard: Vec<_> = live.map(heard).collect();
        // Who replays an old file has no batches of the years since.
        let from_at_ns = heard.iter().map(|one| one.from_at_ns).min().unwrap_or(row.first_batch_at_ns);
        let is_older_kept = row.first_at_ns != 0 && row.first_at_ns.saturating_add(DAY_NS) < from_at_ns;
        let names = row.collectors.into_iter().map(|(name, ..)| name).chain(row.collectors_of_packets);
        Self {
            kept: Kept { heard, older_than_ns: is_older_kept.then_some(from_at_ns) },
            collectors: names.collect(),
            newest_at_ns: row.newest_at_ns,
        }
    }
}

impl<T> Cache<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn find(&self, generation: u64, max_age: Duration) -> Option<Arc<T>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            cached.as_ref().filter(|cached| cached.generation == generation && cached.loaded.elapsed() < max_age);
        fresh.map(|cached| Arc::clone(&cached.value))
    }

    fn put(&self, generation: u64, value: &Arc<T>) {
        let cached = Cached { generation, loaded: Instant::now(), value: Arc::clone(value) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cached);
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// The question makes no sense.
    #[error("{0}")]
    Question(String),
    /// The store failed.
    #[error("the store did not answer")]
    Store(#[from] ReadError),
    /// Nobody listens any more.
    #[error("the asker hung up")]
    HungUp,
    /// Somebody listens and does not read.
    #[error("the answer was not read for {0:?}, and was ended")]
    Unread(Duration),
    /// Nobody answers any more.
    #[error("the analyzer is stopping")]
    Stopping,
}

impl Analyst {
    /// Reads the vendors; asks nothing yet.
    #[must_use]
    pub fn new(
        store: Store,
        (names, enrichment): (Names, SharedEnrichment),
        local_nets: Vec<IpNet>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        stored: broadcast::Sender<Arc<CheckedBatch>>,
    ) -> Self {
        let names = RwLock::new(Arc::new(names));
        let local_nets = RwLock::new(local_nets);
        Self {
            store,
            names,
            enrichment,
            oui: Oui::load(),
            local_nets,
            registry,
            metrics,
            stored,
            directory: Cache::new(),
            reading: tokio::sync::Mutex::default(),
            peers: Cache::new(),
            usual: Cache::new(),
            holdings: Cache::new(),
            covered: Arc::new(Cache::new()),
            rhythms: Cache::new(),
            access: None,
        }
    }

    /// Says in `status` when the certificates end.
    #[must_use]
    pub fn guarded_by(mut self, access: Arc<Access>) -> Self {
        self.access = Some(access);
        self
    }

    fn certificate_expires_at_ns(&self) -> Option<i64> {
        Some(self.access.as_ref()?.server_expires_at()?.saturating_mul(1_000_000_000))
    }

    /// Has other networks of the house from now on.
    pub fn set_local_nets(&self, local_nets: Vec<IpNet>) {
        *self.local_nets.write().unwrap_or_else(PoisonError::into_inner) = local_nets;
        self.registry.note_changed();
    }

    /// Takes other names; answers from now on have them.
    pub fn rename(&self, names: Names) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks up everything again for the next question: names have changed, or what was stored is gone.
    pub fn look_again(&self) {
        self.registry.note_changed();
    }

    /// The devices that a text means: id, name, MAC or address.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn find_devices(&self, text: &str) -> Result<Vec<DeviceKey>, ReadError> {
        Ok(self.directory().await?.find(text, &self.names(), &self.oui))
    }

    /// What a device is called now.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn naming_now(&self, key: DeviceKey) -> Result<Naming, ReadError> {
        Ok(self.directory().await?.naming(key, &self.names(), &self.oui))
    }

    /// What tells devices from routers now.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn identity_now(&self) -> Result<IdentityColumns, ReadError> {
        Ok(self.directory().await?.identity().columns().clone())
    }

    fn enrichment(&self) -> Arc<Enrichment> {
        self.enrichment.current()
    }

    /// Whether what was read until something else is stored may be told again: of a cluster others may know more.
    fn may_keep(&self, scope: &Scope) -> bool {
        scope.explained.is_none() && !self.store.about().is_cluster
    }

    /// All devices, as of now.
    async fn directory(&self) -> Result<Arc<Directory>, ReadError> {
        let generation = self.registry.generation();
        if let Some(directory) = self.directory.find(generation, CACHE_AGE) {
            return Ok(directory);
        }
        let _reading = self.reading.lock().await;
        let generation = self.registry.generation();
        if let Some(directory) = self.directory.find(generation, CACHE_AGE) {
            return Ok(directory);
        }
        let local_nets = self.local_nets.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (identity, said, given) =
            tokio::try_join!(Identity::load(&self.store, &local_nets), self.store.said(), self.store.given_names())?;
        let known = KnownNames::new(said, given);
        let directory = Arc::new(Directory::load(&self.store, identity, known).await?);
        self.directory.put(generation, &directory);
        Ok(directory)
    }

    /// What is stored, as of now.
    async fn holdings(&self) -> Result<Arc<Holdings>, ReadError> {
        let generation = self.registry.generation();
        if let Some(holdings) = self.holdings.find(generation, CACHE_AGE) {
            return Ok(holdings);
        }
        let holdings = Arc::new(Holdings::from(self.store.holdings().await?));
        self.holdings.put(generation, &holdings);
        Ok(holdings)
    }

    /// What those that devices talk to are called, as of now.
    async fn peers(&self, scope: &Scope) -> Result<Arc<PeerNames>, ReadError> {
        let generation = self.registry.generation();
        if let Some(peers) = self.peers.find(generation, CACHE_AGE) {
            return Ok(peers);
        }
        let peers = Arc::new(PeerNames::new(self.store.peer_names(scope).await?));
        self.peers.put(generation, &peers);
        Ok(peers)
    }

    async fn answer(&self, question: v1::Question, out: &Out) -> Result<(), AskError> {
        let Some(ask) = question.ask else {
            return Err(AskError::Question(
                "the question asks nothing this analyzer knows: is it older than iotq?".into(),
            ));
        };
        let mut asked = Asked::new(self, question.selection.unwrap_or_default()).await?;
        if !matches!(ask, Ask::TopTalkers(_) | Ask::Devices(_) | Ask::Conversations(_) | Ask::Status(_)) {
            asked = asked.with_peers(self).await?;
        }
        if let Some(explained) = &asked.scope.explained {
            // It is set once.
            let _ = out.explained.set(Arc::clone(explained));
        }
        match ask {
            Ask::TopTalkers(question) => top_talkers::answer(self, &asked, question, out).await,
            Ask::Devices(_) => devices::answer(self, &asked, out).await,
            Ask::Destinations(question) => destinations::answer(self, &asked, question, out).await,
            Ask::Conversations(_) => conversations::answer(self, &asked, out).await,
            Ask::Connections(question) => connections::answer(self, &asked, question, out).await,
            Ask::Timeline(question) => timeline::answer(self, &asked, question, out).await,
            Ask::Packets(question) => packets::answer(self, &asked, question, out).await,
            Ask::Status(_) => status::answer(self, &asked, out).await,
            Ask::Dns(_) => dns::answer(self, &asked, out).await,
            Ask::Tls(_) => tls::answer(self, &asked, out).await,
            Ask::TimeServers(_) => time_servers::answer(self, &asked, out).await,
            Ask::Unanswered(_) => unanswered::answer(self, &asked, out).await,
            Ask::Keepalives(question) => keepalives::answer(self, &asked, question, out).await,
            Ask::FirstSeen(_) => first_seen::answer(self, &asked, out).await,
            Ask::Diff(question) => diff::answer(self, &asked, question, out).await,
            Ask::Groups(_) => groups::answer(self, &asked, out).await,
        }
    }
}

/// Where an answer goes, in pieces.
struct Out<T = v1::Answer> {
    pieces: mpsc::Sender<Result<T, Status>>,
    /// How long a piece waits to be read.
    unread: Duration,
    /// What the trailer is to tell, if it is to.
    explained: OnceLock<Arc<Explained>>,
}

impl Out {
    async fn header(&self, asked: &Asked) -> Result<(), AskError> {
        self.header_with(asked, Vec::new()).await
    }

    /// With more notes.
    async fn header_with(&self, asked: &Asked, notes: Vec<String>) -> Result<(), AskError> {
        let mut header = asked.header().await?;
        header.notes.extend(notes);
        self.send(answer::Kind::Header(header)).await
    }

    async fn rows(&self, rows: v1::Rows) -> Result<(), AskError> {
        self.send(answer::Kind::Rows(rows)).await
    }

    async fn trailer(&self, truncated: bool) -> Result<(), AskError> {
        let explanation = self.explained.get().map(|explained| explained.lines()).unwrap_or_default();
        self.send(answer::Kind::Trailer(v1::Trailer { truncated, explanation })).await
    }

    async fn send(&self, kind: answer::Kind) -> Result<(), AskError> {
        self.put(v1::Answer { kind: Some(kind) }).await
    }
}

impl<T> Out<T> {
    async fn put(&self, piece: T) -> Result<(), AskError> {
        let sent = timeout(self.unread, self.pieces.send(Ok(piece))).await;
        sent.map_err(|_| AskError::Unread(self.unread))?.map_err(|_| AskError::HungUp)
    }
}

/// Collects rows into pieces of a good size, and no more than asked for.
struct Pieces<'a, Row> {
    out: &'a Out,
    wrap: fn(Vec<Row>) -> v1::Rows,
    rows: Vec<Row>,
    left: u64,
    truncated: bool,
}

impl<'a, Row> Pieces<'a, Row> {
    fn new(out: &'a Out, limit: u64, wrap: fn(Vec<Row>) -> v1::Rows) -> Self {
        let left = if limit == 0 { u64::MAX } else { limit };
        Self { out, wrap, rows: Vec::new(), left, truncated: false }
    }

    /// Whether there is room for another.
    async fn push(&mut self, row: Row) -> Result<bool, AskError> {
        if self.left == 0 {
            self.truncated = true;
            return Ok(false);
        }
        self.left -= 1;
        self.rows.push(row);
        if self.rows.len() == ROWS_A_PIECE {
            self.flush().await?;
        }
        Ok(true)
    }

    async fn flush(&mut self) -> Result<(), AskError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.out.rows((self.wrap)(rows)).await
    }

    /// Tells rows as they come, and the end.
    async fn push_all<R>(
        mut self,
        mut rows: clickhouse::query::RowCursor<R>,
        tell: impl Fn(R) -> Row,
    ) -> Result<(), AskError>
    where
        R: clickhouse::RowOwned + clickhouse::RowRead,
    {
        while let Some(row) = rows.next().await? {
            if !self.push(tell(row)).await? {
                break;
            }
        }
        self.end().await
    }

    async fn end(mut self) -> Result<(), AskError> {
        self.flush().await?;
        self.out.trailer(self.truncated).await
    }
}

/// Tells rows in the order of time, of no more than a limit the newest.
async fn tell_in_time<Row, Told>(
    out: &Out,
    scope: &Scope,
    mut rows: clickhouse::query::RowCursor<Row>,
    wrap: fn(Vec<Told>) -> v1::Rows,
    tell: impl Fn(Row) -> Told,
) -> Result<(), AskError>
where
    Row: clickhouse::RowOwned + clickhouse::RowRead,
{
    let mut pieces = Pieces::new(out, scope.limit, wrap);
    if !scope.is_newest_first() {
        return pieces.push_all(rows, tell).await;
    }
    let mut newest = VecDeque::new();
    while let Some(row) = rows.next().await? {
        if newest.len() as u64 == scope.limit {
            pieces.truncated = true;
            break;
        }
        newest.push_front(tell(row));
    }
    for told in newest {
        pieces.push(told).await?;
    }
    pieces.end().await
}

/// The gRPC service.
#[derive(Clone)]
pub struct QueryService {
    analyst: Arc<Analyst>,
    turns: Arc<Turns>,
    stop: CancellationToken,
}

impl QueryService {
    /// Answers with what `analyst` knows, until `stop`.
    #[must_use]
    pub fn new(analyst: Arc<Analyst>, stop: CancellationToken) -> Self {
        Self { analyst, turns: Arc::new(Turns::new(QuestionLimits::default())), stop }
    }

    /// With other limits.
    #[must_use]
    pub fn limited(mut self, limits: QuestionLimits) -> Self {
        self.turns = Arc::new(Turns::new(limits));
        self
    }

    /// Works when it is the asker's turn, and hands on what comes of it. Who `waits` most
    /// of the time needs no turn.
    async fn respond<T, Work>(
        &self,
        asker: Asker,
        waits: bool,
        work: impl FnOnce(Arc<Analyst>, Out<T>) -> Work,
    ) -> Result<Response<BoxStream<'static, Result<T, Status>>>, Status>
    where
        T: Send + 'static,
        Work: Future<Output = Result<(), AskError>> + Send + 'static,
    {
        let analyst = Arc::clone(&self.analyst);
        analyst.metrics.questions.inc();
        let open = self.turns.open(asker).map_err(|status| self.refused(status))?;
        let turn = if waits { None } else { Some(open.turn().await.map_err(|status| self.refused(status))?) };
        let (pieces, stream) = mpsc::channel(PIECES_AHEAD);
        // Beside the pieces: they may be full, and nobody reads them.
        let (end, ended) = oneshot::channel();
        let out = Out { pieces: pieces.clone(), unread: self.turns.limits().unread, explained: OnceLock::new() };
        let work = work(Arc::clone(&analyst), out);
        let stop = self.stop.clone();
        let span = info_span!("ask");
        tokio::spawn(
            async move {
                let _turn = turn;
                let began = Instant::now();
                let result = tokio::select! {
                    result = work => result,
                    () = pieces.closed() => Err(AskError::HungUp),
                    () = stop.cancelled() => Err(AskError::Stopping),
                };
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                match result {
                    Ok(()) => debug!(took_ms, "answered"),
                    Err(AskError::HungUp) => debug!(took_ms, "the asker hung up"),
                    Err(error) => {
                        // Nobody is told who is gone.
                        let _ = end.send(status_of(&error, &analyst.metrics, took_ms));
                    }
                }
            }
            .instrument(span),
        );
        let ended = futures::stream::once(ended).filter_map(async |status| status.ok().map(Err));
        // Open until the last piece is read, or nobody reads any more.
        let answer = ReceiverStream::new(stream).chain(ended).map(move |piece| {
            let _ = &open;
            piece
        });
        Ok(Response::new(answer.boxed()))
    }

    /// Counts a question that is not answered because there are too many.
    fn refused(&self, status: Status) -> Status {
        self.analyst.metrics.questions_refused.inc();
        debug!(reason = status.message(), "question refused");
        status
    }
}

#[tonic::async_trait]
impl Query for QueryService {
    type AskStream = BoxStream<'static, Result<v1::Answer, Status>>;

    async fn ask(&self, request: Request<v1::Question>) -> Result<Response<Self::AskStream>, Status> {
        // Who follows waits most of the time, and may do so for days.
        let follows = matches!(&request.get_ref().ask, Some(Ask::Packets(packets)) if packets.follow);
        let asker = Asker::of(request.extensions());
        let question = request.into_inner();
        self.respond(asker, follows, |analyst, out| async move { analyst.answer(question, &out).await }).await
    }
}

/// What the asker is told; what is no fault of the question is logged and counted.
fn status_of(error: &AskError, metrics: &Metrics, took_ms: u64) -> Status {
    match error {
        AskError::HungUp | AskError::Stopping => Status::unavailable(error.to_string()),
        AskError::Question(text) => Status::invalid_argument(text),
        AskError::Unread(_) => {
            warn!(took_ms, "answer not read, ended");
            metrics.answers_unread.inc();
            Status::aborted(error.to_string())
        }
        AskError::Store(source) => {
            warn!(error = %Chain(error), took_ms, "question not answered");
            metrics.questions_failed.inc();
            match store::limit_of(source) {
                Some(Limit::Time) => Status::deadline_exceeded("the store worked on it for as long as it may"),
                Some(Limit::Memory) => {
                    Status::resource_exhausted("it needs more memory than the store may use; a shorter range may help")
                }
                None => Status::unavailable("the analyzer's store did not answer; its log says why"),
            }
        }
    }
}

fn octets(ip: Ipv6Addr) -> Vec<u8> {
    ip.octets().to_vec()
}

fn octets_of(ip: IpAddr) -> Vec<u8> {
    address_octets(ip).to_vec()
}

/// An address in a message as text.
fn text_of(octets: &[u8]) -> String {
    <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).to_canonical().to_string()).unwrap_or_default()
}

/// Packets a minute.
#[expect(clippy::cast_precision_loss, reason = "rates need no more than 52 bits")]
fn rate(packets: u64, minutes: f64) -> f64 {
    packets as f64 / minutes
}

/// A part of a whole, 0 where there is no whole.
#[expect(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// So late a device or a name may be that was seen just now; and other analyzers may store into the same cluster.
/// Reading all of it for each question would take longer than most answers.
const CACHE_AGE: Duration = Duration::from_secs(5);
const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// A piece is then some 50 KiB: few messages, and the first one early.
const ROWS_A_PIECE: usize = 500;
/// Pieces that wait for a slow asker; beyond, ClickHouse waits.
const PIECES_AHEAD: usize = 4;
