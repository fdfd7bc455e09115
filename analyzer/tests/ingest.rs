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
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_clickhouse_never_takes_is_refused_and_holds_up_no_other() {
    let Some(library) = common::library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let engine = Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::clone(&metrics)).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    let poison = "ALTER TABLE no_ip ADD CONSTRAINT poison CHECK mac != 666";
    sql(engine.access()).query_raw(poison).execute().await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let (stored, _) = broadcast::channel(4);
    let ingest =
        IngestService::new(store.clone(), Arc::new(Registry::default()), Arc::clone(&metrics), stored, stop.clone());
    let server = tonic::transport::Server::builder()
        .add_service(IngestServer::new(ingest))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    let server = tokio::spawn(server);

    let (requests, outgoing) = mpsc::channel(8);
    let hello = v1::Hello { collector: "attic".into(), epoch: 5, ..Default::default() };
    requests.send(request(push_request::Kind::Hello(hello))).await.unwrap();
    let mut client = IngestClient::connect(url).await.unwrap();
    let mut answers = client.push(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    assert!(matches!(answers.message().await.unwrap().unwrap().kind, Some(push_response::Kind::Welcome(_))));

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
    let (seq, reason) = said.pop().unwrap();
    said.sort();
    assert_eq!(said, [(2, String::new()), (3, String::new())], "the others are answered first");
    assert!(seq == 1 && reason.contains("VIOLATED_CONSTRAINT"), "{seq}: {reason}");
    assert_eq!((metrics.batches_stored.get(), metrics.batches_rejected.get()), (2, 1));

    // Sent again when that is repaired, it is stored.
    sql(engine.access()).query_raw("ALTER TABLE no_ip DROP CONSTRAINT poison").execute().await.unwrap();
    requests.send(batch(1, 666)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().kind;
    assert!(matches!(answer, Some(push_response::Kind::Ack(_))), "{answer:?}");
    assert_eq!(store.no_ip(&[]).await.unwrap().iter().map(|row| row.frames).sum::<u64>(), 3);

    drop(requests);
    stop.cancel();
    server.await.unwrap().unwrap();
    engine.stop().await;
}
