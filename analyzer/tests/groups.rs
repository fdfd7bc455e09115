//! Small batches are inserted together, on a real ClickHouse engine: once, whatever stops that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path, sync::Arc, time::Duration};

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
    runtime::Runtime,
    sync::{broadcast, mpsc},
    task::JoinSet,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;

struct Running {
    engine: Engine,
    dir: TempDir,
}

/// An analyzer's ingest on the engine's store, in a runtime that can be torn down.
struct Service {
    ingest: IngestService,
    metrics: Arc<Metrics>,
    url: String,
    stop: CancellationToken,
    runtime: Runtime,
}

impl Service {
    async fn finish(self) {
        self.stop.cancel();
        self.ingest.finish().await;
        self.runtime.shutdown_background();
    }
}

impl Running {
    /// `None` where there is no engine.
    async fn start() -> Option<Self> {
        let library = common::library()?;
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let engine = Engine::start(common::program(), &library, dir.path(), 1 << 30, metrics).await.unwrap();
        Some(Self { engine, dir })
    }

    async fn serve(&self) -> Service {
        let server = Server::from(self.engine.access());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
        let serving = {
            let (metrics, stop) = (Arc::clone(&metrics), stop.clone());
            async move {
                let store = Store::open(&server, 30).await.unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}", listener.local_addr().unwrap());
                let (stored, _) = broadcast::channel(4);
                let registry = Arc::new(Registry::default());
                let ingest = IngestService::new(store, registry, metrics, stored, stop.clone());
                let server = tonic::transport::Server::builder()
                    .add_service(IngestServer::new(ingest.clone()))
                    .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned());
                tokio::spawn(server);
                (ingest, url)
            }
        };
        let (ingest, url) = runtime.spawn(serving).await.unwrap();
        Service { ingest, metrics, url, stop, runtime }
    }

    /// Packets in `slices` and in the last of the roll-ups, rows of `dns`, rows of `batches`
    /// and how many of those are different.
    async fn counts(&self) -> (u64, u64, u64, u64, u64) {
        let counts = [
            "(SELECT sum(a_packets + b_packets) FROM slices)",
            "(SELECT sum(a_packets + b_packets) FROM traffic_day)",
            "(SELECT count() FROM dns)",
            "(SELECT count() FROM batches)",
            "(SELECT uniqExact(collector, epoch, seq) FROM batches)",
        ];
        let sql = format!("SELECT {}", counts.map(|count| format!("assumeNotNull({count})")).join(", "));
        sql_client(self.engine.access()).query_raw(&sql).fetch_one().await.unwrap()
    }

    async fn run(&self, sql: &str) {
        sql_client(self.engine.access()).query_raw(sql).execute().await.unwrap();
    }

    fn journal(&self) -> usize {
        files(&self.dir.path().join("journal"))
    }
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

fn sql_client(access: &Access) -> Client {
    Client::default()
        .with_url(&access.url)
        .with_user(&access.user)
        .with_password(&access.password)
        .with_header(&access.header, &access.header_value)
        .with_database("iotq")
}

/// Two packets and a DNS question.
fn batch(collector: &str, seq: u64) -> v1::Batch {
    let second = 1_700_000_000 + i64::try_from(seq).unwrap();
    let [a, b] =
        ["::ffff:192.0.2.7", "::ffff:198.51.100.7"].map(|ip| ip.parse::<std::net::Ipv6Addr>().unwrap().octets());
    v1::Batch {
        collector: collector.into(),
        epoch: 5,
        seq,
        sealed_at_ns: 1_700_000_100_000_000_000,
        covered_from_at_ns: Some(second * 1_000_000_000),
        covered_until_at_ns: Some((second + 1) * 1_000_000_000),
        frames: 2,
        slices: Some(v1::FlowSlices {
            second: vec![second],
            vlan_id: vec![0xffff],
            a_mac: vec![0x5e00_5301],
            b_mac: vec![0x5e00_5302],
            a_ip: a.to_vec(),
            b_ip: b.to_vec(),
            ip_version: vec![4],
            protocol: vec![17],
            has_ports: vec![1],
            a_port: vec![5353],
            b_port: vec![53],
            packets: vec![2],
            offset_ns: vec![1, 2],
            wire_bytes: vec![60, 70],
            payload_bytes: vec![10, 20],
            tcp_flags: vec![0xffff; 2],
            from_a: vec![1, 0],
        }),
        dns: vec![v1::DnsTransaction {
            kind: v1::DnsKind::Dns.into(),
            question_seen: true,
            asked_at_ns: second * 1_000_000_000,
            client_ip: a.to_vec(),
            server_ip: b.to_vec(),
            client_port: 5353,
            server_port: 53,
            ip_version: 4,
            protocol: 17,
            vlan_id: 0xffff,
            qname: format!("{collector}.example.com"),
            qtype: 1,
            ..v1::DnsTransaction::default()
        }],
        ..v1::Batch::default()
    }
}

fn request(kind: push_request::Kind) -> v1::PushRequest {
    v1::PushRequest { kind: Some(kind) }
}

/// Sends these batches; returns how many were acknowledged before the stream ended.
async fn push(url: String, collector: String, batches: Vec<v1::Batch>) -> usize {
    let hello = v1::Hello { collector, epoch: 5, ..v1::Hello::default() };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    // An analyzer that still stores what an earlier start had begun sends collectors away for a while.
    let (requests, mut answers) = loop {
        let (requests, outgoing) = mpsc::channel(64);
        requests.send(request(push_request::Kind::Hello(hello.clone()))).await.unwrap();
        let mut client = IngestClient::connect(url.clone()).await.unwrap();
        let mut answers = client.push(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        match answers.message().await {
            Ok(Some(_)) => break (requests, answers),
            Ok(None) | Err(_) => assert!(tokio::time::Instant::now() < deadline, "never welcomed"),
        }
    };
    let expected = batches.len();
    for batch in batches {
        requests.send(request(push_request::Kind::Batch(batch))).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < expected {
        match answers.message().await {
            Ok(Some(v1::PushResponse { kind: Some(push_response::Kind::Ack(_)) })) => acknowledged += 1,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_many_collectors_take_few_inserts() {
    let Some(running) = Running::start().await else { return };
    let service = running.serve().await;
    let mut pushes = JoinSet::new();
    for number in 0..40 {
        let collector = format!("attic-{number}");
        let batches = (1..=5).map(|seq| batch(&collector, seq)).collect();
        pushes.spawn(push(service.url.clone(), collector, batches));
    }
    let acknowledged: usize = pushes.join_all().await.into_iter().sum();
    assert_eq!(acknowledged, 200);
    assert_eq!(running.counts().await, (400, 400, 200, 200, 200));
    // Parts that were merged since are still listed for some minutes.
    let sql = "SELECT count() FROM system.parts WHERE database = 'iotq' AND table = 'batches' AND level = 0";
    let parts: u64 = sql_client(running.engine.access()).query_raw(sql).fetch_one().await.unwrap();
    assert!(parts <= 100, "{parts} inserts for 200 batches");
    assert_eq!(running.journal(), 0, "what is stored is forgotten");
    service.finish().await;
    running.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_a_crash_interrupted_is_stored_once_also_if_its_batches_come_again() {
    let Some(running) = Running::start().await else { return };
    let first = running.serve().await;
    // Of a group, `slices` and its roll-ups take everything, `dns` nothing: as if it had stopped between.
    running.run("ALTER TABLE dns ADD CONSTRAINT broken CHECK throwIf(1) = 0").await;
    let mut pushes = JoinSet::new();
    for collector in ["attic", "cellar", "porch"] {
        pushes.spawn(push(first.url.clone(), collector.into(), vec![batch(collector, 1)]));
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while running.counts().await.0 < 6 {
        assert!(tokio::time::Instant::now() < deadline, "slices not inserted: {:?}", running.counts().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The analyzer is gone, without a last word.
    first.runtime.shutdown_background();
    pushes.abort_all();
    assert_eq!(first.metrics.batches_stored.get(), 0);
    assert!(running.journal() > 0, "what was begun is written down");
    let kept = running.dir.path().join("kept");
    fs::create_dir(&kept).unwrap();
    for entry in fs::read_dir(running.dir.path().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, kept.join(path.file_name().unwrap())).unwrap();
    }

    running.run("ALTER TABLE dns DROP CONSTRAINT broken").await;
    let second = running.serve().await;
    // One comes again at once, one twice, one never.
    let again = push(second.url.clone(), "attic".into(), vec![batch("attic", 1), batch("attic", 1)]).await;
    assert_eq!(again, 2);
    assert_eq!(push(second.url.clone(), "cellar".into(), vec![batch("cellar", 1), batch("cellar", 2)]).await, 2);
    assert_eq!(running.counts().await, (8, 8, 4, 4, 4));
    second.finish().await;

    // The files come back, as they may after a power cut.
    for entry in fs::read_dir(&kept).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, running.dir.path().join("journal").join(path.file_name().unwrap())).unwrap();
    }
    let third = running.serve().await;
    assert_eq!(push(third.url.clone(), "porch".into(), vec![batch("porch", 1)]).await, 1);
    assert_eq!(running.counts().await, (8, 8, 4, 4, 4));
    third.finish().await;
    running.engine.stop().await;
}
