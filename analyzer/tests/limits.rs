//! Who asks or sends too much over real sockets: bounded, told why, and nobody else
//! notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use iotq_analyzer::{
    access::Access,
    engine::Engine,
    enrich::{Names, SharedEnrichment},
    ingest::{IngestService, Registry},
    listener::{self, Protocol},
    metrics::Metrics,
    query::{Analyst, QueryService, QuestionLimits},
    store::{Server, Store},
};
use iotq_proto::{
    MAX_BATCH_BYTES,
    v1::{
        self, answer, ingest_client::IngestClient, ingest_server::IngestServer, push_request, push_response,
        query_client::QueryClient, query_server::QueryServer, question,
    },
};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

/// An analyzer's gRPC side with its own engine.
struct Served {
    url: String,
    metrics: Arc<Metrics>,
    engine: Engine,
    stop: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn new(limits: QuestionLimits) -> Option<Self> {
        let library = common::library()?;
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let engine = Engine::start(common::program(), &library, folder.path(), 1 << 30, Arc::clone(&metrics));
        let engine = engine.await.unwrap();
        let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
        let (stop, registry) = (CancellationToken::new(), Arc::new(Registry::default()));
        let (stored, _) = broadcast::channel(4);
        let ingest = IngestService::new(
            store.clone(),
            Arc::clone(&registry),
            Arc::clone(&metrics),
            stored.clone(),
            stop.clone(),
        );
        let known = (Names::default(), SharedEnrichment::default());
        let analyst = Analyst::new(store, known, Vec::new(), registry, Arc::clone(&metrics), stored);
        let query = QueryService::new(Arc::new(analyst), stop.clone()).limited(limits);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let access = Arc::new(Access::load(None).unwrap());
        let accepted = listener::accept(listener, access, Protocol::Grpc, Arc::clone(&metrics), stop.clone());
        let server = tonic::transport::Server::builder()
            .add_service(IngestServer::new(ingest).max_decoding_message_size(MAX_BATCH_BYTES + 1024))
            .add_service(QueryServer::new(query))
            .serve_with_incoming_shutdown(accepted.into_stream(), stop.clone().cancelled_owned());
        let server = tokio::spawn(server);
        Some(Self { url, metrics, engine, stop, server, _folder: folder })
    }

    /// A connection from this address: without certificates that is who one is.
    async fn from(&self, ip: &str) -> Channel {
        let endpoint = Endpoint::from_shared(self.url.clone()).unwrap().local_address(Some(ip.parse().unwrap()));
        // What is not read fills little.
        let endpoint = endpoint.initial_stream_window_size(64 << 10).initial_connection_window_size(1 << 20);
        endpoint.connect().await.unwrap()
    }

    async fn push(&self, collector: &str) -> (mpsc::Sender<v1::PushRequest>, Streaming<v1::PushResponse>) {
        let (requests, outgoing) = mpsc::channel(64);
        let hello = v1::Hello { collector: collector.into(), epoch: 5, ..Default::default() };
        requests.send(request(push_request::Kind::Hello(hello))).await.unwrap();
        let mut client = IngestClient::new(self.from("127.0.0.1").await);
        let mut answers = client.push(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        assert!(matches!(answers.message().await.unwrap().unwrap().kind, Some(push_response::Kind::Welcome(_))));
        (requests, answers)
    }

    /// Panics unless somebody else is answered at once.
    async fn others_are_answered(&self) {
        let began = Instant::now();
        let rows = read(ask(self.from("127.0.0.9").await, conversations()).await.unwrap()).await.unwrap();
        assert!(rows > 0);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    async fn end(self) {
        self.stop.cancel();
        // Connections that tests hold open do not matter here.
        let _ = timeout(Duration::from_secs(1), self.server).await;
        self.engine.stop().await;
    }
}

fn request(kind: push_request::Kind) -> v1::PushRequest {
    v1::PushRequest { kind: Some(kind) }
}

/// One flow, as many packets: 100 a second.
fn batch(collector: &str, seq: u64, packets: usize) -> v1::Batch {
    let seconds = packets / 100;
    let count = u64::try_from(packets).unwrap();
    let ip = |text: &str| iotq_proto::address_octets(text.parse().unwrap()).to_vec();
    v1::Batch {
        collector: collector.into(),
        epoch: 5,
        seq,
        sealed_at_ns: 1_700_000_100_000_000_000,
        frames: count,
        slices: Some(v1::FlowSlices {
            second: (1_700_000_000..).take(seconds).collect(),
            vlan_id: vec![0xffff; seconds],
            a_mac: vec![0x5e00_5301; seconds],
            b_mac: vec![0x5e00_5302; seconds],
            a_ip: ip("192.168.7.2").repeat(seconds),
            b_ip: ip("203.0.113.9").repeat(seconds),
            ip_version: vec![4; seconds],
            protocol: vec![6; seconds],
            has_ports: vec![1; seconds],
            a_port: vec![50_001; seconds],
            b_port: vec![443; seconds],
            packets: vec![100; seconds],
            offset_ns: vec![1000; packets],
            wire_bytes: vec![100; packets],
            payload_bytes: vec![40; packets],
            tcp_flags: vec![0x18; packets],
            from_a: vec![1; packets],
        }),
        ..Default::default()
    }
}

fn conversations() -> question::Ask {
    question::Ask::Conversations(v1::ConversationsQuestion::default())
}

/// Some 16 MB of answer.
fn packets() -> question::Ask {
    question::Ask::Packets(v1::PacketsQuestion::default())
}

async fn ask(channel: Channel, ask: question::Ask) -> Result<Streaming<v1::Answer>, Status> {
    let question = v1::Question { selection: Some(v1::Selection::default()), ask: Some(ask) };
    Ok(QueryClient::new(channel).ask(question).await?.into_inner())
}

/// How many rows there are; `Err`: what was said instead of an end.
async fn read(mut answers: Streaming<v1::Answer>) -> Result<usize, Status> {
    let mut count = 0;
    let mut has_end = false;
    while let Some(message) = timeout(Duration::from_secs(60), answers.message()).await.expect("an answer goes on")? {
        match message.kind {
            Some(answer::Kind::Rows(rows)) => count += rows.packets.len() + rows.conversations.len(),
            Some(answer::Kind::Trailer(_)) => has_end = true,
            _ => {}
        }
    }
    assert!(has_end, "an answer without an error has its end");
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_too_much_is_told_so_and_others_go_on() {
    let short = Duration::from_secs(1);
    let limits = QuestionLimits { of_peer: 2, open_of_peer: 4, wait: short, unread: 2 * short, ..Default::default() };
    let Some(served) = Served::new(limits).await else { return };
    let (requests, mut answers) = served.push("attic").await;
    requests.send(request(push_request::Kind::Batch(batch("attic", 1, 100_000)))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().kind;
    assert!(matches!(answer, Some(push_response::Kind::Ack(_))), "{answer:?}");
    served.others_are_answered().await;

    // A message that is too large ends its stream, and no other.
    let (large, mut told) = served.push("cellar").await;
    let name = "x".repeat(MAX_BATCH_BYTES + 2048);
    large
        .send(request(push_request::Kind::Batch(v1::Batch {
            source: None,
            collector: name,
            ..batch("cellar", 1, 100)
        })))
        .await
        .unwrap();
    let status = told.message().await.unwrap_err();
    assert!(status.message().contains("too large") && status.message().contains("limit"), "{status:?}");

    // Batches that are all refused: some are told why, then it ends.
    let (bad, mut told) = served.push("cellar").await;
    let sending = tokio::spawn(async move {
        for seq in 1..10_000 {
            let unbalanced = v1::Batch { frames: 7, ..batch("cellar", seq, 100) };
            if bad.send(request(push_request::Kind::Batch(unbalanced))).await.is_err() {
                return;
            }
        }
    });
    let mut refused = 0;
    let status = loop {
        match told.message().await {
            Ok(message) => match message.unwrap().kind {
                Some(push_response::Kind::Reject(_)) => refused += 1,
                other => panic!("{other:?}"),
            },
            Err(status) => break status,
        }
    };
    assert_eq!((refused, status.code()), (256, Code::ResourceExhausted), "{status:?}");
    assert!(status.message().contains("256 batches of this stream were refused"), "{status:?}");
    sending.await.unwrap();

    // The same small batch for ever, and its answers are not read: it has to wait.
    let (endless, _unread) = served.push("attic").await;
    let sending = tokio::spawn(async move {
        let mut sent = 0_u64;
        while endless.send(request(push_request::Kind::Batch(batch("attic", 1, 100)))).await.is_ok() {
            sent += 1;
        }
        sent
    });
    for _ in 0..5 {
        served.others_are_answered().await;
    }
    assert!(!sending.is_finished());
    sending.abort();

    // Readers that do not read keep their peer's turns, and are ended.
    let slow = served.from("127.0.0.1").await;
    let (first, second) = (ask(slow.clone(), packets()).await.unwrap(), ask(slow.clone(), packets()).await.unwrap());
    let status = ask(slow.clone(), conversations()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("2 questions of 127.0.0.1 are being answered already"), "{status:?}");
    served.others_are_answered().await;
    let ended = async {
        while served.metrics.answers_unread.get() < 2 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), ended).await.expect("both are ended");
    for unread in [first, second] {
        let status = read(unread).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Aborted, "the answer was not read for 2s, and was ended"));
    }
    // Read at once it is all there.
    assert_eq!(read(ask(slow.clone(), packets()).await.unwrap()).await.unwrap(), 100_000);

    // More than anybody needs at once: answered or refused, and others are answered.
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let slow = slow.clone();
            tokio::spawn(async move { read(ask(slow, conversations()).await?).await })
        })
        .collect();
    served.others_are_answered().await;
    let (mut answered, mut refused) = (0, 0);
    for asked in asking {
        match asked.await.unwrap() {
            Ok(rows) => answered += u64::from(rows > 0),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(status.message().contains("ask again"), "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(answered >= 2 && refused >= 1 && answered + refused == 50, "{answered} answered, {refused} refused");
    assert!(served.metrics.questions_refused.get() > refused);

    // And the first stream never noticed.
    requests.send(request(push_request::Kind::Batch(batch("attic", 2, 100)))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().kind;
    assert!(matches!(answer, Some(push_response::Kind::Ack(v1::Ack { seq: 2, .. }))), "{answer:?}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_streams_of_one_collector_the_newest_stay() {
    let Some(served) = Served::new(QuestionLimits::default()).await else { return };
    let (_first, mut told) = served.push("attic").await;
    let mut newest = Vec::new();
    for _ in 0..8 {
        newest.push(served.push("attic").await);
    }
    let status = timeout(Duration::from_secs(20), told.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("do several collectors use its name?"), "{status:?}");
    for (seq, (requests, answers)) in (1..).zip(&mut newest) {
        requests.send(request(push_request::Kind::Batch(batch("attic", seq, 100)))).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap().kind;
        assert!(matches!(answer, Some(push_response::Kind::Ack(_))), "{answer:?}");
    }
    assert_eq!(served.metrics.streams_ended.get(), 1);
    served.end().await;
}
