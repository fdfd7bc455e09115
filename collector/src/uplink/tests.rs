//! Against an analyzer that misbehaves, over real connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use iotq_proto::{
    CheckedBatch,
    tls::TlsFiles,
    v1::{
        ingest_server::{Ingest, IngestServer},
        push_request, push_response,
    },
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

use super::*;

/// What an analyzer does with one connection.
#[derive(Clone, Debug)]
struct Manners {
    /// Hangs up after so many batches, the last ones unanswered.
    hang_up_after: Option<usize>,
    /// Answers only when so many batches wait, the last one first.
    answer_in_groups_of: usize,
    answer_twice: bool,
    never_answer: bool,
    reject: fn(u64) -> bool,
    refuse: Option<Code>,
    /// Says in its welcome what it has.
    remembers: bool,
    max_unacknowledged: u32,
    clock_ahead_ns: i64,
    source_stored_at_ns: Option<i64>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            hang_up_after: None,
            answer_in_groups_of: 1,
            answer_twice: false,
            never_answer: false,
            reject: |_| false,
            refuse: None,
            remembers: true,
            max_unacknowledged: 1000,
            clock_ahead_ns: 0,
            source_stored_at_ns: None,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// Numbers in the order they came, one list a connection.
    connections: Vec<Vec<u64>>,
    /// Every batch stored, once for each time.
    stored: Vec<v1::Batch>,
    /// What was said of the spool.
    spools: Vec<v1::SpoolState>,
}

#[derive(Clone)]
struct Analyzer {
    /// One for each connection; the last one for all that follow.
    manners: Arc<Vec<Manners>>,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Seen>>,
}

struct Running {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    runtime: Option<Runtime>,
}

impl Drop for Running {
    /// Like SIGKILL: connections end in the middle of whatever they do.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Analyzer {
    fn new(manners: Vec<Manners>) -> Self {
        Self { manners: manners.into(), connections: Arc::default(), seen: Arc::default() }
    }

    async fn serve(self) -> Running {
        self.serve_at("127.0.0.1:0".parse().unwrap()).await
    }

    async fn serve_at(self, address: SocketAddr) -> Running {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = loop {
            // One that was killed may take a moment to let go of the port.
            match runtime.spawn(TcpListener::bind(address)).await.unwrap() {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let address = listener.local_addr().unwrap();
        let seen = Arc::clone(&self.seen);
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            tonic::transport::Server::builder()
                .add_service(IngestServer::new(self))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Running { address, seen, runtime: Some(runtime) }
    }
}

#[tonic::async_trait]
impl Ingest for Analyzer {
    type PushStream = ReceiverStream<Result<v1::PushResponse, Status>>;

    async fn push(&self, request: Request<Streaming<v1::PushRequest>>) -> Result<Response<Self::PushStream>, Status> {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        let manners = self.manners[connection.min(self.manners.len() - 1)].clone();
        if let Some(code) = manners.refuse {
            return Err(Status::new(code, "go away"));
        }
        let mut requests = request.into_inner();
        let Some(push_request::Kind::Hello(hello)) = requests.message().await?.unwrap().kind else {
            panic!("the first message is no hello");
        };
        assert_eq!(hello.collector, "attic");
        let through = {
            let mut seen = self.seen.lock().unwrap();
            seen.connections.push(Vec::new());
            let stored: HashSet<u64> =
                seen.stored.iter().filter(|batch| batch.epoch == hello.epoch).map(|batch| batch.seq).collect();
            (1..).take_while(|seq| stored.contains(seq)).count() as u64
        };
        let (answers, stream) = mpsc::channel(100);
        let welcome = v1::Welcome {
            version: "0".into(),
            received_at_ns: clock_ns() + manners.clock_ahead_ns,
            stored_through_seq: if manners.remembers { through } else { 0 },
            max_unacknowledged: manners.max_unacknowledged,
        };
        answer(&answers, push_response::Kind::Welcome(welcome)).await;
        tokio::spawn(serve_connection(manners, requests, answers, Arc::clone(&self.seen)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn serve_connection(
    manners: Manners,
    mut requests: Streaming<v1::PushRequest>,
    answers: mpsc::Sender<Result<v1::PushResponse, Status>>,
    seen: Arc<Mutex<Seen>>,
) {
    let mut waiting = Vec::new();
    let mut batches = 0;
    while let Ok(Some(request)) = requests.message().await {
        let Some(push_request::Kind::Batch(mut batch)) = request.kind else { panic!("no batch: {request:?}") };
        // The same batch may say something else of the spool when it is sent again.
        if let Some(spool) = batch.spool.take() {
            seen.lock().unwrap().spools.push(spool);
        }
        let seq = batch.seq;
        {
            let mut seen = seen.lock().unwrap();
            seen.connections.last_mut().unwrap().push(seq);
            CheckedBatch::try_from(batch.clone()).unwrap();
            if !(manners.reject)(seq) && !manners.never_answer {
                seen.stored.push(batch);
            }
        }
        batches += 1;
        if manners.hang_up_after.is_some_and(|limit| batches >= limit) {
            return;
        }
        waiting.push(seq);
        if manners.never_answer || waiting.len() < manners.answer_in_groups_of {
            continue;
        }
        for seq in waiting.drain(..).rev() {
            let kind = if (manners.reject)(seq) {
                push_response::Kind::Reject(v1::Reject { seq, reason: "ugly".into() })
            } else {
                push_response::Kind::Ack(v1::Ack { seq, source_stored_at_ns: manners.source_stored_at_ns })
            };
            for _ in 0..=usize::from(manners.answer_twice) {
                answer(&answers, kind.clone()).await;
            }
        }
    }
}

async fn answer(answers: &mpsc::Sender<Result<v1::PushResponse, Status>>, kind: push_response::Kind) {
    let _ = answers.send(Ok(v1::PushResponse { kind: Some(kind) })).await;
}

/// Something to recognise it by: its own number of lost packets.
fn batch(number: u64) -> v1::Batch {
    let lost = vec![v1::LossCount { stage: LossStage::KernelRing.into(), packets: number }];
    v1::Batch { frames: number + 1, lost, undecoded: vec![undecoded(1)], ..Default::default() }
}

fn undecoded(frames: u64) -> v1::UndecodedCount {
    v1::UndecodedCount { reason: v1::UndecodedReason::IpVersion.into(), frames }
}

struct Sending {
    batches: mpsc::Sender<v1::Batch>,
    uplink: JoinHandle<Outcome>,
    abandon: CancellationToken,
    ports: Arc<Mutex<Vec<u16>>>,
}

fn uplink(addresses: &[SocketAddr], give_up_after: Duration) -> Sending {
    uplink_with(addresses, give_up_after, Limits::MEMORY_ONLY, 2)
}

fn uplink_with(addresses: &[SocketAddr], give_up_after: Duration, limits: Limits, queue: usize) -> Sending {
    let (sender, batches) = mpsc::channel(queue);
    let config = UplinkConfig {
        collector: "attic".parse().unwrap(),
        epoch: new_epoch(),
        inputs: vec!["eth0".into()],
        live: false,
        analyzers: addresses.iter().map(|address| format!("http://{address}").parse().unwrap()).collect(),
        tls: TlsFiles::default(),
        give_up_after: Some(give_up_after),
        spool: None,
        is_left_behind: false,
        changes: None,
        metrics: None,
    };
    let ports: Arc<Mutex<Vec<u16>>> = Arc::default();
    let registered = Arc::clone(&ports);
    let before_connect: BeforeConnect = Arc::new(move |port, _| registered.lock().unwrap().push(port));
    let mut uplink = Uplink::new(config, batches, before_connect);
    uplink.store = Unacknowledged::new(limits);
    let abandon = CancellationToken::new();
    Sending { batches: sender, uplink: tokio::spawn(uplink.run(abandon.clone())), abandon, ports }
}

impl Sending {
    /// Sends so many batches and waits for the end.
    async fn send_all(self, batches: u64) -> Outcome {
        for number in 1..=batches {
            self.batches.send(batch(number)).await.unwrap();
        }
        drop(self.batches);
        self.uplink.await.unwrap()
    }
}

impl Running {
    /// The numbers of all batches that came, each once; panics if one number
    /// stands for two batches, or a connection was not in order.
    fn stored_in_order(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        for connection in &seen.connections {
            assert!(connection.is_sorted_by(|one, next| one < next), "{connection:?}");
        }
        let mut stored = BTreeMap::new();
        for batch in &seen.stored {
            let before = stored.insert(batch.seq, batch);
            assert!(before.is_none_or(|before| before == batch), "sent again, but changed");
        }
        stored.into_keys().collect()
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn batches_arrive_in_order() {
    let analyzer = Analyzer::new(vec![Manners::default()]).serve().await;
    let sending = uplink(&[analyzer.address], LONG);
    let ports = Arc::clone(&sending.ports);
    let outcome = sending.send_all(50).await;
    assert!(outcome.failure.is_none());
    assert_eq!((outcome.batches, outcome.stored.undecoded_frames()), (50, 50));
    assert_eq!(analyzer.stored_in_order(), (1..=50).collect::<Vec<_>>());
    assert_eq!(analyzer.seen.lock().unwrap().connections.len(), 1);
    assert_eq!(ports.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn answers_may_come_late_twice_and_in_any_order() {
    let manners = Manners { answer_in_groups_of: 10, answer_twice: true, ..Manners::default() };
    let analyzer = Analyzer::new(vec![manners]).serve().await;
    let outcome = uplink(&[analyzer.address], LONG).send_all(50).await;
    assert_eq!((outcome.batches, outcome.unacknowledged_batches), (50, 0));
    assert_eq!(analyzer.stored_in_order(), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_analyzer_that_hangs_up_gets_everything_again() {
    for remembers in [true, false] {
        let rude = Manners { hang_up_after: Some(7), answer_in_groups_of: 3, remembers, ..Manners::default() };
        let polite = Manners { remembers, ..Manners::default() };
        let analyzer = Analyzer::new(vec![rude.clone(), rude, polite]).serve().await;
        let outcome = uplink(&[analyzer.address], LONG).send_all(30).await;
        assert!(outcome.failure.is_none());
        assert_eq!((outcome.batches, outcome.stored.undecoded_frames()), (30, 30), "remembers: {remembers}");
        assert_eq!(analyzer.stored_in_order(), (1..=30).collect::<Vec<_>>());
        assert_eq!(analyzer.seen.lock().unwrap().connections.len(), 3);
    }
}

#[tokio::test]
async fn what_the_welcome_says_is_stored_is_not_sent_again() {
    let rude = Manners { hang_up_after: Some(5), never_answer: false, answer_in_groups_of: 100, ..Manners::default() };
    let analyzer = Analyzer::new(vec![rude, Manners::default()]).serve().await;
    let outcome = uplink(&[analyzer.address], LONG).send_all(10).await;
    assert_eq!(outcome.batches, 10);
    assert_eq!(analyzer.seen.lock().unwrap().connections, [(1..=5).collect::<Vec<_>>(), (6..=10).collect()]);
}

#[tokio::test]
async fn an_analyzer_started_late_and_restarted_gets_everything() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let sending = uplink(&[address], LONG);
    let first = Analyzer::new(vec![Manners { answer_in_groups_of: 4, ..Manners::default() }]);
    let second = first.clone();
    for number in 1..=2 {
        sending.batches.send(batch(number)).await.unwrap();
    }
    let first = first.serve_at(address).await;
    for number in 3..=10 {
        sending.batches.send(batch(number)).await.unwrap();
    }
    while first.seen.lock().unwrap().stored.len() < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(first);
    for number in 11..=12 {
        sending.batches.send(batch(number)).await.unwrap();
    }
    let forgetful = Manners { remembers: false, ..Manners::default() };
    let second = Analyzer { manners: vec![forgetful].into(), ..second }.serve_at(address).await;
    drop(sending.batches);
    let outcome = sending.uplink.await.unwrap();
    assert_eq!((outcome.batches, outcome.failure.is_none()), (12, true));
    assert_eq!(second.stored_in_order(), (1..=12).collect::<Vec<_>>());
    // Answers that were on their way when the first one ended are lost: those batches come again.
    let connections = second.seen.lock().unwrap().connections.clone();
    let [_, again] = &connections[..] else { panic!("{connections:?}") };
    let begins_at = again[0];
    assert!(begins_at <= 9, "{again:?}");
    assert_eq!(*again, (begins_at..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn refused_batches_are_reported_as_lost_by_the_next() {
    let manners = Manners { reject: |seq| matches!(seq, 2 | 3), ..Manners::default() };
    let analyzer = Analyzer::new(vec![manners]).serve().await;
    let sending = uplink(&[analyzer.address], LONG);
    for number in 1..=3 {
        sending.batches.send(batch(number)).await.unwrap();
    }
    while analyzer.seen.lock().unwrap().connections.first().is_none_or(|sent| sent.len() < 3) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(sending.batches);
    let outcome = sending.uplink.await.unwrap();
    assert!(outcome.failure.is_none());
    // Own losses stay what they were; the one frame that could not be read is lost now.
    assert_eq!(outcome.rejected.lost, BTreeMap::from([(LossStage::KernelRing, 5), (LossStage::Rejected, 2)]));
    assert_eq!(outcome.stored.frames, 2);
    let seen = analyzer.seen.lock().unwrap();
    let reported: u64 = seen
        .stored
        .iter()
        .flat_map(|batch| &batch.lost)
        .filter(|count| count.stage() == LossStage::Rejected)
        .map(|count| count.packets)
        .sum();
    assert_eq!(reported, 2);
}

#[tokio::test]
async fn an_analyzer_that_refuses_everything_does_not_keep_us_busy() {
    let manners = Manners { reject: |_| true, ..Manners::default() };
    let analyzer = Analyzer::new(vec![manners]).serve().await;
    let outcome = uplink(&[analyzer.address], LONG).send_all(3).await;
    assert_eq!((outcome.batches, outcome.stored.frames), (0, 0));
    assert_eq!(outcome.rejected.frames, 2 + 3 + 4);
    assert!(analyzer.seen.lock().unwrap().connections[0].len() <= 5);
}

#[tokio::test]
async fn no_more_is_in_flight_than_the_analyzer_allows() {
    let manners = Manners { never_answer: true, max_unacknowledged: 3, ..Manners::default() };
    let analyzer = Analyzer::new(vec![manners]).serve().await;
    let outcome = uplink(&[analyzer.address], Duration::from_millis(400)).send_all(10).await;
    assert!(matches!(outcome.failure, Some(UplinkError::GaveUp { .. })));
    assert_eq!(outcome.unacknowledged_batches, 10);
    assert_eq!(outcome.unacknowledged.lost.get(&LossStage::Unacknowledged), Some(&10));
    assert_eq!(analyzer.seen.lock().unwrap().connections, [[1, 2, 3]]);
}

#[tokio::test]
async fn memory_for_unanswered_batches_is_bounded() {
    let manners = Manners { never_answer: true, ..Manners::default() };
    let analyzer = Analyzer::new(vec![manners]).serve().await;
    let limits = Limits { encoded_bytes: 1 << 20, batches: 4 };
    let sending = uplink_with(&[analyzer.address], LONG, limits, 2);
    let mut accepted = 0;
    for _ in 0..100 {
        while sending.batches.try_send(batch(accepted + 1)).is_ok() {
            accepted += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(accepted, 4 + 2);
    sending.abandon.cancel();
    let outcome = sending.uplink.await.unwrap();
    assert!(matches!(outcome.failure, Some(UplinkError::Abandoned)));
    assert_eq!(outcome.unacknowledged_batches, 6);
}

#[tokio::test]
async fn without_an_analyzer_it_gives_up_and_says_what_remains() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let outcome = uplink(&[address], Duration::from_millis(600)).send_all(3).await;
    let failure = outcome.failure.unwrap();
    let text = Chain(&failure).to_string();
    assert!(text.contains("iotq-analyzer serve") && text.contains("refused"), "{text}");
    assert_eq!(outcome.unacknowledged.frames, 2 + 3 + 4);
}

#[tokio::test]
async fn the_next_analyzer_is_used_when_one_fails() {
    let refusing = Analyzer::new(vec![Manners { refuse: Some(Code::PermissionDenied), ..Manners::default() }]);
    let refusing = refusing.serve().await;
    let working = Analyzer::new(vec![Manners::default()]).serve().await;
    let outcome = uplink(&[refusing.address, working.address], LONG).send_all(5).await;
    assert_eq!((outcome.batches, outcome.failure.is_none()), (5, true));
}

#[tokio::test]
async fn what_cannot_be_helped_ends_at_once() {
    for code in [Code::PermissionDenied, Code::Unauthenticated, Code::InvalidArgument, Code::Unimplemented] {
        let analyzer = Analyzer::new(vec![Manners { refuse: Some(code), ..Manners::default() }]).serve().await;
        let outcome = uplink(&[analyzer.address], LONG).send_all(2).await;
        let text = Chain(&outcome.failure.unwrap()).to_string();
        assert!(text.contains("go away") && text.contains(&analyzer.address.to_string()), "{text}");
        assert_eq!(outcome.unacknowledged_batches, 2);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let busy = Manners { refuse: Some(Code::Unavailable), ..Manners::default() };
    let analyzer = Analyzer::new(vec![busy.clone(), busy, Manners::default()]).serve().await;
    let outcome = uplink(&[analyzer.address], LONG).send_all(2).await;
    assert_eq!((outcome.batches, outcome.failure.is_none()), (2, true));
}

#[tokio::test]
async fn batches_are_sealed_by_the_analyzers_clock() {
    let hour_ns = 3_600_000_000_000;
    let manners = Manners { clock_ahead_ns: hour_ns, source_stored_at_ns: Some(1), ..Manners::default() };
    let analyzer = Analyzer::new(vec![manners]).serve().await;
    let sending = uplink(&[analyzer.address], LONG);
    while analyzer.seen.lock().unwrap().connections.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let outcome = sending.send_all(1).await;
    assert_eq!(outcome.batches, 1);
    let sealed_at_ns = analyzer.seen.lock().unwrap().stored[0].sealed_at_ns;
    assert!((sealed_at_ns - clock_ns() - hour_ns).abs() < 60_000_000_000);
}

#[tokio::test]
async fn nothing_to_send_needs_no_analyzer() {
    let outcome = uplink(&["127.0.0.1:9".parse().unwrap()], LONG).send_all(0).await;
    assert!(outcome.failure.is_none());
}

#[test]
fn epochs_of_later_starts_are_greater() {
    let first = new_epoch();
    std::thread::sleep(Duration::from_millis(2));
    assert!(new_epoch() > first);
}

/// A spool in `dir`, as a live collector or a replay uses it.
fn spooled(dir: &tempfile::TempDir, live: bool) -> SharedSpool {
    let config =
        crate::spool::SpoolConfig { dir: dir.path().to_owned(), max_bytes: 1 << 30, max_age: LONG, is_durable: live };
    SharedSpool::new(crate::spool::Spool::open(config, &"attic".parse().unwrap()).unwrap())
}

/// With a spool, and the limits that go with it.
fn spooling(
    addresses: &[SocketAddr],
    give_up_after: Duration,
    spool: &SharedSpool,
    live: bool,
) -> (Sending, UplinkConfig) {
    let (sender, batches) = mpsc::channel(2);
    let config = UplinkConfig {
        collector: "attic".parse().unwrap(),
        epoch: new_epoch(),
        inputs: vec!["eth0".into()],
        live,
        analyzers: addresses.iter().map(|address| format!("http://{address}").parse().unwrap()).collect(),
        tls: TlsFiles::default(),
        give_up_after: Some(give_up_after),
        spool: Some(spool.clone()),
        is_left_behind: false,
        changes: None,
        metrics: None,
    };
    let before_connect: BeforeConnect = Arc::new(|_, _| ());
    let uplink = Uplink::new(config.clone(), batches, before_connect);
    let abandon = CancellationToken::new();
    let uplink = tokio::spawn(uplink.run(abandon.clone()));
    (Sending { batches: sender, uplink, abandon, ports: Arc::default() }, config)
}

async fn nowhere() -> SocketAddr {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    reserved.local_addr().unwrap()
}

#[tokio::test]
async fn what_nobody_takes_waits_in_the_spool_for_the_next_start() {
    for live in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let spool = spooled(&dir, live);
        // More than wait in memory.
        let (sending, _) = spooling(&[nowhere().await], Duration::from_secs(3), &spool, live);
        let outcome = sending.send_all(200).await;
        assert!(matches!(outcome.failure, Some(UplinkError::GaveUp { .. })), "{:?}", outcome.failure);
        assert_eq!((outcome.spooled_batches, outcome.unacknowledged_batches), (200, 0), "live: {live}");
        drop(spool);

        // The next start sends what there is, with the numbers it had, beside its own.
        let spool = spooled(&dir, live);
        let analyzer = Analyzer::new(vec![Manners::default()]).serve().await;
        let (sending, config) = spooling(&[analyzer.address], LONG, &spool, live);
        let left = deliver_left_behind(config.clone(), Arc::new(|_, _| ()), CancellationToken::new()).await;
        assert_eq!((left.batches, left.spooled_batches), (200, 0));
        assert_eq!(left.stored.undecoded_frames(), 200);
        let outcome = sending.send_all(3).await;
        assert_eq!((outcome.batches, outcome.spooled_batches), (3, 0));
        let seen = analyzer.seen.lock().unwrap();
        let old: Vec<u64> =
            seen.stored.iter().filter(|batch| batch.epoch != config.epoch).map(|batch| batch.seq).collect();
        assert_eq!(old, (1..=200).collect::<Vec<_>>());
        assert_eq!(seen.stored.len(), 203);
        assert_eq!(spool.lock().level(), crate::spool::Level::default());
    }
}

#[tokio::test]
async fn a_stalled_analyzer_fills_the_spool_and_not_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spooled(&dir, true);
    let stalled = Manners { never_answer: true, hang_up_after: Some(150), max_unacknowledged: 8, ..Manners::default() };
    let analyzer = Analyzer::new(vec![stalled]).serve().await;
    let (sending, _) = spooling(&[analyzer.address], LONG, &spool, true);
    for number in 1..=1000 {
        // Nobody has to wait.
        timeout(Duration::from_secs(20), sending.batches.send(batch(number))).await.unwrap().unwrap();
    }
    drop(analyzer);
    sending.abandon.cancel();
    let outcome = sending.uplink.await.unwrap();
    assert_eq!((outcome.spooled_batches, outcome.unacknowledged_batches), (1000, 0));
}

#[tokio::test]
async fn refused_batches_leave_the_spool_and_are_reported_by_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spooled(&dir, true);
    let (sending, _) = spooling(&[nowhere().await], Duration::from_millis(200), &spool, true);
    sending.send_all(10).await;
    drop(spool);
    let spool = spooled(&dir, true);
    let picky = Manners { reject: |seq| seq == 4, ..Manners::default() };
    let analyzer = Analyzer::new(vec![picky.clone(), Manners::default()]).serve().await;
    let (sending, config) = spooling(&[nowhere().await], LONG, &spool, true);
    let old = UplinkConfig { analyzers: vec![format!("http://{}", analyzer.address).parse().unwrap()], ..config };
    let left = deliver_left_behind(old, Arc::new(|_, _| ()), CancellationToken::new()).await;
    assert_eq!((left.batches, left.rejected.lost[&LossStage::Rejected]), (9, 1));
    assert_eq!(std::fs::read_dir(dir.path().join("rejected")).unwrap().count(), 1);
    assert!(spool.lock().has_losses());
    sending.abandon.cancel();
    let _ = sending.uplink.await;
    let (sending, _) = spooling(&[analyzer.address], LONG, &spool, true);
    let outcome = sending.send_all(1).await;
    assert_eq!(outcome.batches, 1);
    let seen = analyzer.seen.lock().unwrap();
    let reported: u64 = seen
        .stored
        .iter()
        .flat_map(|batch| &batch.lost)
        .filter(|count| count.stage() == LossStage::Rejected)
        .map(|count| count.packets)
        .sum();
    assert_eq!(reported, 1);
}

/// To several analyzers, with less patience than usual.
fn impatient(addresses: &[SocketAddr], return_after: Duration) -> Sending {
    let (sender, batches) = mpsc::channel(2);
    let config = UplinkConfig {
        collector: "attic".parse().unwrap(),
        epoch: new_epoch(),
        inputs: vec!["eth0".into()],
        live: false,
        analyzers: addresses.iter().map(|address| format!("http://{address}").parse().unwrap()).collect(),
        tls: TlsFiles::default(),
        give_up_after: Some(LONG),
        spool: None,
        is_left_behind: false,
        changes: None,
        metrics: None,
    };
    let mut uplink = Uplink::new(config, batches, Arc::new(|_, _| ()));
    let stalled = Duration::from_millis(500);
    uplink.limits = TimeLimits { stalled, stalled_alone: stalled, return_after };
    let abandon = CancellationToken::new();
    Sending { batches: sender, uplink: tokio::spawn(uplink.run(abandon.clone())), abandon, ports: Arc::default() }
}

#[tokio::test]
async fn an_analyzer_that_takes_batches_and_never_answers_is_left_for_the_next() {
    let silent = Analyzer::new(vec![Manners { never_answer: true, ..Manners::default() }]).serve().await;
    let working = Analyzer::new(vec![Manners::default()]).serve().await;
    let outcome = impatient(&[silent.address, working.address], LONG).send_all(5).await;
    assert_eq!((outcome.batches, outcome.failure.is_none()), (5, true));
    assert_eq!(working.stored_in_order(), [1, 2, 3, 4, 5]);
    assert_eq!(silent.seen.lock().unwrap().connections.len(), 1);
}

#[tokio::test]
async fn an_only_analyzer_that_stalls_gets_a_fresh_connection() {
    let silent = Manners { never_answer: true, ..Manners::default() };
    let analyzer = Analyzer::new(vec![silent, Manners::default()]).serve().await;
    let outcome = impatient(&[analyzer.address], LONG).send_all(5).await;
    assert_eq!((outcome.batches, analyzer.seen.lock().unwrap().connections.len()), (5, 2));
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_is_left_for_the_next() {
    // No HTTP/2 at all: the connection is made by the kernel.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let working = Analyzer::new(vec![Manners::default()]).serve().await;
    let outcome = impatient(&[mute.local_addr().unwrap(), working.address], LONG).send_all(2).await;
    assert_eq!((outcome.batches, outcome.failure.is_none()), (2, true));
}

#[tokio::test]
async fn one_that_dies_in_mid_stream_is_replaced_and_the_first_is_used_again_later() {
    let dying = Manners { hang_up_after: Some(2), ..Manners::default() };
    let first = Analyzer::new(vec![dying, Manners::default()]).serve().await;
    let second = Analyzer::new(vec![Manners::default()]).serve().await;
    let sending = impatient(&[first.address, second.address], Duration::from_millis(300));
    for number in 1..=6 {
        sending.batches.send(batch(number)).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while first.seen.lock().unwrap().connections.len() < 2 {
        assert!(Instant::now() < deadline, "it never came back to the first");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let outcome = sending.send_all(2).await;
    assert_eq!((outcome.batches, outcome.failure.is_none()), (8, true));
    let [first, second] = [&first, &second].map(|analyzer| analyzer.seen.lock().unwrap().stored.len());
    assert!(first >= 4 && second >= 4, "{first} and {second}");
}

#[tokio::test]
async fn a_folder_that_takes_nothing_for_a_while_costs_nothing_and_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spooled(&dir, true);
    let (sending, _) = spooling(&[nowhere().await], LONG, &spool, true);
    sending.batches.send(batch(1)).await.unwrap();
    while spool.lock().level().batches < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Somebody put a file where the folder was.
    let elsewhere = dir.path().with_extension("moved");
    std::fs::rename(dir.path(), &elsewhere).unwrap();
    std::fs::write(dir.path(), b"").unwrap();
    let mut sent = 1;
    for _ in 0..200 {
        if sending.batches.try_send(batch(sent + 1)).is_ok() {
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(spool.lock().level().is_degraded);
    // 64 in memory, one that was accepted before it was known, two in the queue.
    assert!((60..=70).contains(&sent), "{sent}");
    std::fs::remove_file(dir.path()).unwrap();
    std::fs::rename(&elsewhere, dir.path()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while spool.lock().level().batches < sent {
        assert!(Instant::now() < deadline, "{:?}", spool.lock().level());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!spool.lock().level().is_degraded);
    sending.abandon.cancel();
    let outcome = sending.uplink.await.unwrap();
    assert_eq!((outcome.spooled_batches, outcome.unacknowledged_batches), (sent, 0));
}

#[tokio::test]
async fn the_analyzer_hears_how_the_spool_is() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spooled(&dir, true);
    let (sending, _) = spooling(&[nowhere().await], Duration::from_millis(200), &spool, true);
    sending.send_all(5).await;
    drop(spool);
    let spool = spooled(&dir, true);
    let analyzer = Analyzer::new(vec![Manners { max_unacknowledged: 1, ..Manners::default() }]).serve().await;
    let (sending, config) = spooling(&[analyzer.address], LONG, &spool, true);
    deliver_left_behind(config, Arc::new(|_, _| ()), CancellationToken::new()).await;
    sending.send_all(1).await;
    let seen = analyzer.seen.lock().unwrap();
    let waiting: Vec<u64> = seen.spools.iter().map(|spool| spool.batches).collect();
    // Without the batch that it comes with.
    assert_eq!(waiting, [4, 3, 2, 1, 0, 0]);
    let waits = |spool: &v1::SpoolState| (spool.bytes > 0, spool.oldest_sealed_at_ns.is_some(), spool.degraded);
    let is_any = |spool: &v1::SpoolState| (spool.batches > 0, spool.batches > 0, false);
    assert!(seen.spools.iter().all(|spool| waits(spool) == is_any(spool)));
}
