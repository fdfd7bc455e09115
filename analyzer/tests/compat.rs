//! Collectors of other releases: batches that old ones made are stored, and what newer
//! ones add does not disturb.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use iotq_analyzer::{
    engine::Engine,
    ingest::IngestService,
    metrics::Metrics,
    store::{Server, Store},
};
use iotq_proto::v1::{self, ingest_server::IngestServer, push_request, push_response};
use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _},
};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Endpoint,
};

/// Sends octets as they are: what another release would have encoded.
#[derive(Clone, Default)]
struct Octets;

impl Codec for Octets {
    type Encode = Vec<u8>;
    type Decode = v1::PushResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Octets {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Octets {
    type Item = v1::PushResponse;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<v1::PushResponse>, Status> {
        let octets = buf.copy_to_bytes(buf.remaining());
        v1::PushResponse::decode(octets).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// A field that no release has: number 9999, of each wire type.
fn unknown_fields() -> Vec<u8> {
    let mut octets = Vec::new();
    for wire_type in [0_u64, 1, 2, 5] {
        prost::encoding::encode_varint(9999 << 3 | wire_type, &mut octets);
        octets.extend_from_slice(match wire_type {
            0 => &[42],
            1 => &[1; 8],
            2 => &[3, 7, 7, 7],
            _ => &[1; 4],
        });
    }
    octets
}

/// As a newer collector might send it: with fields of its own, inside and outside.
fn from_the_future(batch: &v1::Batch) -> Vec<u8> {
    let mut inner = batch.encode_to_vec();
    inner.extend(unknown_fields());
    let mut octets = Vec::new();
    prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, &mut octets);
    prost::encoding::encode_varint(inner.len() as u64, &mut octets);
    octets.extend(inner);
    octets.extend(unknown_fields());
    octets
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_other_releases_are_stored() {
    let Some(library) = common::library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let engine = Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::clone(&metrics)).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let (stored, _) = broadcast::channel(4);
    let ingest = IngestService::new(store.clone(), Arc::default(), Arc::clone(&metrics), stored, stop.clone());
    let server = tonic::transport::Server::builder()
        .add_service(IngestServer::new(ingest))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    let server = tokio::spawn(server);

    // As it left a collector of that release.
    let old = include_bytes!("batches/0.1.0.batch").split_at(SPOOL_HEADER_BYTES).1.to_vec();
    let Some(push_request::Kind::Batch(batch)) = v1::PushRequest::decode(old.as_slice()).unwrap().kind else {
        panic!("the file has no batch")
    };
    assert_eq!((batch.collector.as_str(), batch.seq, batch.frames), ("attic", 1, 264));
    assert!(!batch.connections.is_empty() && !batch.dns.is_empty() && !batch.sightings.is_empty());

    let (requests, outgoing) = mpsc::channel(8);
    let hello =
        v1::Hello { collector: "attic".into(), epoch: batch.epoch, version: "0.1.0".into(), ..Default::default() };
    let mut hello = v1::PushRequest { kind: Some(push_request::Kind::Hello(hello)) }.encode_to_vec();
    hello.extend(unknown_fields());
    let newer = from_the_future(&v1::Batch { seq: 2, ..batch.clone() });
    for request in [hello, old, newer] {
        requests.send(request).await.unwrap();
    }
    let mut client = tonic::client::Grpc::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap());
    client.ready().await.unwrap();
    let path = "/iotq.v1.Ingest/Push".parse().unwrap();
    let request = tonic::Request::new(ReceiverStream::new(outgoing));
    let mut answers = client.streaming(request, path, Octets).await.unwrap().into_inner();

    let welcome = answers.message().await.unwrap().unwrap().kind;
    assert!(matches!(welcome, Some(push_response::Kind::Welcome(_))), "{welcome:?}");
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap().kind;
        assert!(matches!(answer, Some(push_response::Kind::Ack(_))), "{answer:?}");
    }
    let rows = store.collectors(&[]).await.unwrap();
    assert_eq!((rows.len(), rows[0].batches, rows[0].frames), (1, 2, 2 * batch.frames));

    drop(requests);
    stop.cancel();
    server.await.unwrap().unwrap();
    engine.stop().await;
}

/// See `batches/README.md`.
const SPOOL_HEADER_BYTES: usize = 56;
