//! Ingest over real gRPC into a real ClickHouse engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{sync::Arc, time::Duration};

use clickhouse::Client;
use iotq_analyzer::{
    engine::{Access, Engine},
    ingest::{IngestService, Registry},
    metrics::Metrics,
    store::{Server, Store},
};
use iotq_proto::v1::{self, ingest_client::IngestClient, ingest_server::IngestServer, push_request, push_response};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
    task::JoinHandle,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

fn request(kind: push_request::Kind) -> v1::PushRequest {
    v1::PushRequest { kind: Some(kind) }
}

/// One frame without IP from this MAC.
fn batch(seq: u64, mac: u64) -> v1::PushRequest {
    request(push_request::Kind::Batch(v1::Batch {
        collector: "attic".into(),
        epoch: 5,
        seq,
        sealed_at_ns: 1_700_000_100_000_000_000,
        covered_from_at_ns: Some(1_700_000_000_000_000_000),
        covered_until_at_ns: Some(1_700_000_060_000_000_000),
        frames: 1,
        no_ip: vec![v1::NoIpCount { link_protocol: 0x0806, mac, frames: 1, wire_bytes: 60 }],
        ..Default::default()
    }))
}

fn sql(access: &Access) -> Client {
    Client::default()
        .with_url(&access.url)
        .with_user(&access.user)
        .with_password(&access.password)
        .with_header(&access.header, &access.header_value)
        .with_database("iotq")
}

/// An analyzer's ingest, with its store.
struct Served {
    store: Store,
    metrics: Arc<Metrics>,
    engine: Engine,
    url: String,
    stop: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    _dir: TempDir,
}

impl Served {
    /// `None` where there is no engine.
    async fn start() -> Option<Self> {
        let library = common::library()?;
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let engine =
            Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::clone(&metrics)).await.unwrap();
        let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (stored, _) = broadcast::channel(4);
        let ingest = IngestService::new(
            store.clone(),
            Arc::new(Registry::default()),
            Arc::clone(&metrics),
            stored,
            stop.clone(),
        );
        let server = tonic::transport::Server::builder()
            .add_service(IngestServer::new(ingest))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        Some(Self { store, metrics, engine, url, stop, server: tokio::spawn(server), _dir: dir })
    }

    /// A collector's stream, and what it was welcomed with.
    async fn connect(&self) -> (mpsc::Sender<v1::PushRequest>, Streaming<v1::PushResponse>, v1::Welcome) {
        let (requests, outgoing) = mpsc::channel(8);
        let hello = v1::Hello { collector: "attic".into(), epoch: 5, ..Default::default() };
        requests.send(request(push_request::Kind::Hello(hello))).await.unwrap();
        let mut client = IngestClient::connect(self.url.clone()).await.unwrap();
        let mut answers = client.push(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        let Some(push_response::Kind::Welcome(welcome)) = answers.message().await.unwrap().unwrap().kind else {
            panic!("the first answer is no welcome");
        };
        (requests, answers, welcome)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
        self.engine.stop().await;
    }
}

/// Sends batches, each with a MAC of its number, and returns whose acknowledgements came, in order of number.
async fn push(
    requests: mpsc::Sender<v1::PushRequest>,
    mut answers: Streaming<v1::PushResponse>,
    seqs: Vec<u64>,
) -> Vec<u64> {
    let count = seqs.len();
    let sending = async {
        for seq in seqs {
            requests.send(batch(seq, seq)).await.unwrap();
        }
    };
    let hearing = async {
        let mut acknowledged = Vec::new();
        while acknowledged.len() < count {
            let answer = tokio::time::timeout(Duration::from_secs(60), answers.message()).await;
            match answer.expect("an answer within a minute").unwrap().unwrap().kind {
                Some(push_response::Kind::Ack(ack)) => acknowledged.push(ack.seq),
                other => panic!("{other:?}"),
            }
        }
        acknowledged.sort_unstable();
        acknowledged
    };
    tokio::join!(sending, hearing).1
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_come_twice_in_any_order_and_on_two_streams_are_stored_once() {
    let Some(served) = Served::start().await else { return };
    let (one, other) = (served.connect().await, served.connect().await);
    assert_eq!(one.2.stored_through_seq, 0);
    // Each number twice, in an order that each stream has for itself: 7 and 11 have no divisor in common with 20.
    let order = |step: u64| (0..40).map(move |index| index * step % 20 + 1).collect::<Vec<_>>();
    let expected: Vec<u64> = (1..=20).flat_map(|seq| [seq, seq]).collect();
    let (first, second) = tokio::join!(push(one.0, one.1, order(7)), push(other.0, other.1, order(11)));
    assert_eq!((first, second), (expected.clone(), expected));
    assert_eq!((served.metrics.batches_stored.get(), served.metrics.batches_repeated.get()), (20, 60));

    // Acknowledgements that nobody hears: sent, and hung up.
    let (requests, answers, welcome) = served.connect().await;
    assert_eq!(welcome.stored_through_seq, 20);
    for seq in 21..=25 {
        requests.send(batch(seq, seq)).await.unwrap();
    }
    drop((requests, answers));
    let (requests, answers, _) = served.connect().await;
    assert_eq!(push(requests, answers, (21..=25).collect()).await, [21, 22, 23, 24, 25]);

    let stored: Vec<u64> = served.store.no_ip(&[]).await.unwrap().iter().map(|row| row.frames).collect();
    assert_eq!(stored.iter().sum::<u64>(), 25, "{stored:?}");
    assert_eq!(served.store.stored_seqs(&"attic".parse().unwrap(), 5).await.unwrap().through, 25);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_clickhouse_never_takes_is_refused_and_holds_up_no_other() {
    let Some(served) = Served::start().await else { return };
    let access = served.engine.access();
    let poison = "ALTER TABLE no_ip ADD CONSTRAINT poison CHECK mac != 666";
    sql(access).query_raw(poison).execute().await.unwrap();
    let (requests, mut answers, _) = served.connect().await;

    for (seq, mac) in [(1, 666), (2, 1), (3, 2)] {
        requests.send(batch(seq, mac)).await.unwrap();
    }
    let mut said = Vec::new();
    for _ in 0..3 {
        let answer = tokio::time::timeout(Duration::from_secs(60), answers.message()).await;
        match answer.expect("an answer within a minute").unwrap().unwrap().kind {
            Some(push_response::Kind::Ack(ack)) => said.push((ack.seq, String::new())),
            Some(push_response::Kind::Reject(reject)) => said.push((reject.seq, reject.reason)),
            other => panic!("{other:?}"),
        }
    }
    said.sort();
    let (seq, reason) = said.remove(0);
    assert_eq!(said, [(2, String::new()), (3, String::new())]);
    assert!(seq == 1 && reason.contains("VIOLATED_CONSTRAINT"), "{seq}: {reason}");
    assert_eq!((served.metrics.batches_stored.get(), served.metrics.batches_rejected.get()), (2, 1));

    // Sent again when that is repaired, it is stored.
    sql(access).query_raw("ALTER TABLE no_ip DROP CONSTRAINT poison").execute().await.unwrap();
    requests.send(batch(1, 666)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().kind;
    assert!(matches!(answer, Some(push_response::Kind::Ack(_))), "{answer:?}");
    assert_eq!(served.store.no_ip(&[]).await.unwrap().iter().map(|row| row.frames).sum::<u64>(), 3);

    drop(requests);
    served.stop().await;
}
