//! The store's house-keeping on a real ClickHouse engine: limits, gaps, old and new data
//! directories, backups, exports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{path::Path, process::Command, sync::Arc};

use clickhouse::Client;
use iotq_analyzer::{
    coverage::{Coverage, Heard, Kept},
    engine::{Access, Engine},
    ingest::{IngestService, Registry},
    metrics::Metrics,
    store::{ExportFormat, ExportTable, IdentityColumns, Schema, Scope, Server, Store, TimeRange},
};
use iotq_proto::{
    CheckedBatch, GapReason,
    v1::{self, ingest_client::IngestClient, ingest_server::IngestServer, push_request, push_response},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;

const SECOND: i64 = 1_000_000_000;
/// 2026-11-01T00:00:00Z.
const BEGIN: i64 = 1_793_491_200 * SECOND;

async fn engine(dir: &Path) -> Option<Engine> {
    let library = common::library()?;
    Some(Engine::start(common::program(), &library, dir, 1 << 30, Arc::new(Metrics::new())).await.unwrap())
}

fn sql(access: &Access) -> Client {
    Client::default()
        .with_url(&access.url)
        .with_user(&access.user)
        .with_password(&access.password)
        .with_header(&access.header, &access.header_value)
        .with_database("iotq")
}

/// `None` where there is no engine.
async fn start() -> Option<(Engine, Store, TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await?;
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    Some((engine, store, dir))
}

/// One packet at the begin of the stretch, in seconds after [`BEGIN`].
fn batch(collector: &str, epoch: u64, seq: u64, (from, until): (i64, i64)) -> v1::Batch {
    let ip = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec();
    v1::Batch {
        collector: collector.into(),
        epoch,
        seq,
        sealed_at_ns: BEGIN + until * SECOND,
        covered_from_at_ns: Some(BEGIN + from * SECOND),
        covered_until_at_ns: Some(BEGIN + until * SECOND),
        frames: 1,
        slices: Some(v1::FlowSlices {
            second: vec![BEGIN / SECOND + from],
            vlan_id: vec![0xffff],
            a_mac: vec![0x5e00_5301],
            b_mac: vec![0x5e00_5302],
            a_ip: ip("::ffff:192.168.7.2"),
            b_ip: ip("::ffff:192.168.7.3"),
            ip_version: vec![4],
            protocol: vec![17],
            has_ports: vec![1],
            a_port: vec![5353],
            b_port: vec![53],
            packets: vec![1],
            offset_ns: vec![1],
            wire_bytes: vec![60],
            payload_bytes: vec![10],
            tcp_flags: vec![0xffff],
            from_a: vec![1],
        }),
        ..Default::default()
    }
}

fn of_file(batch: v1::Batch) -> v1::Batch {
    let source = v1::ReplaySource { name: "old.pcap".into(), fingerprint: vec![7; 16] };
    v1::Batch { source: Some(source), ..batch }
}

async fn insert(store: &Store, batch: v1::Batch) {
    store.insert(&CheckedBatch::try_from(batch).unwrap()).await.unwrap();
}

/// A collector that captured live, in seconds after [`BEGIN`].
fn heard(collector: &str, from: i64, until: i64) -> Kept {
    let (from_at_ns, until_at_ns) = (BEGIN + from * SECOND, BEGIN + until * SECOND);
    Kept { heard: vec![Heard { collector: collector.into(), from_at_ns, until_at_ns }], older_than_ns: None }
}

/// In seconds after [`BEGIN`].
fn range(since: i64, until: i64) -> Scope {
    Scope {
        range: TimeRange { since_ns: Some(BEGIN + since * SECOND), until_ns: Some(BEGIN + until * SECOND) },
        collectors: vec![],
        devices: None,
        nets: vec![],
        identity: IdentityColumns::default(),
        limit: 0,
        several_collectors: false,
        newest_at_ns: None,
        explained: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_have_their_reason() {
    let Some((engine, store, _dir)) = start().await else { return };
    for batch in [
        batch("attic", 5, 1, (0, 10)),
        batch("attic", 5, 2, (10, 20)),
        // 3 and 4 did not come.
        batch("attic", 5, 5, (40, 50)),
        // Names alone: no time, but a number.
        v1::Batch {
            covered_from_at_ns: None,
            covered_until_at_ns: None,
            frames: 0,
            slices: None,
            ..batch("attic", 5, 6, (0, 0))
        },
        batch("attic", 5, 7, (70, 80)),
        batch("attic", 6, 1, (100, 110)),
    ] {
        insert(&store, batch).await;
    }
    // Two files of one collector: nothing was promised in between.
    insert(&store, of_file(batch("desk", 8, 1, (0, 10)))).await;
    insert(&store, of_file(batch("desk", 9, 1, (100, 110)))).await;

    let kept = heard("attic", 0, 110);
    let read =
        async |scope: Scope, now: i64| Coverage::read(&store, &scope, &kept, BEGIN + now * SECOND).await.unwrap();
    let gaps = read(range(0, 1000), 500).await.gaps;
    let gaps: Vec<_> = gaps
        .iter()
        .map(|gap| {
            let secs = |at_ns: i64| (at_ns - BEGIN) / SECOND;
            (
                gap.collector.as_str(),
                secs(gap.from_at_ns),
                secs(gap.until_at_ns),
                gap.reason.label(),
                gap.missing_batches,
            )
        })
        .collect();
    let expected = [
        ("attic", 110, 500, "silent", 0),
        ("attic", 80, 100, "not_running", 0),
        ("attic", 50, 70, "clock_jumped", 0),
        ("attic", 20, 40, "batches_missing", 2),
    ];
    assert_eq!(gaps, expected);
    // Just late is not silent; what has been silent for long was taken away.
    let silent = |read: Coverage| read.gaps.iter().filter(|gap| gap.reason == GapReason::Silent).count();
    assert_eq!(silent(read(range(0, 1000), 150).await), 0);
    let month = 30 * 86_400;
    assert_eq!(silent(read(range(month, month + 60), month + 30).await), 0);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_at_the_ends_of_a_range_is_told_and_one_within_a_step_is_found() {
    let Some((engine, store, _dir)) = start().await else { return };
    // A second each, for ten minutes; of them some are missing, three of them one after the other.
    for seq in (1..=600_u64).filter(|seq| ![100, 300, 301, 302, 450].contains(seq)) {
        let second = i64::try_from(seq).unwrap();
        insert(&store, batch("attic", 5, seq, (second - 1, second))).await;
    }
    insert(&store, batch("attic", 6, 1, (700, 710))).await;
    let kept = heard("attic", 0, 710);
    let gaps = async |scope: Scope| {
        let gaps = Coverage::read(&store, &scope, &kept, BEGIN + 2000 * SECOND).await.unwrap().gaps;
        let secs = |at_ns: i64| (at_ns - BEGIN) / SECOND;
        gaps.into_iter()
            .map(|gap| (secs(gap.from_at_ns), secs(gap.until_at_ns), gap.reason.label(), gap.missing_batches))
            .collect::<Vec<_>>()
    };
    let within = [(449, 450, "batches_missing", 1), (299, 302, "batches_missing", 3), (99, 100, "batches_missing", 1)];
    assert_eq!(gaps(range(0, 600)).await, within);
    // The same of steps of a day.
    let all = Scope { range: TimeRange { since_ns: None, until_ns: None }, ..range(0, 0) };
    let since = [(710, 2000, "silent", 0), (600, 700, "not_running", 0)];
    assert_eq!(gaps(all).await, [since.as_slice(), &within].concat());
    // What was before the range and what came after it tell what was missing at its ends.
    assert_eq!(gaps(range(300, 600)).await, [within[0], (299, 302, "batches_missing", 3)]);
    assert_eq!(gaps(range(302, 400)).await, []);
    assert_eq!(gaps(range(303, 450)).await, [within[0]]);
    assert_eq!(gaps(range(650, 705)).await, [(600, 700, "not_running", 0)]);
    assert_eq!(gaps(range(500, 650)).await, [(600, 650, "not_running", 0)]);
    assert_eq!(gaps(range(610, 650)).await, [(600, 650, "not_running", 0)]);
    let covered = Coverage::read(&store, &range(0, 600), &kept, BEGIN).await.unwrap();
    assert_eq!((covered.covered_ns / SECOND, covered.frames), (595, 595));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_follow_each_other_are_read_as_one_stretch_a_step() {
    let Some((engine, store, _dir)) = start().await else { return };
    for seq in 1..=180_u64 {
        let second = i64::try_from(seq).unwrap();
        let batch = batch("attic", 5, seq, (second - 1, second));
        // As a collector says it: up to behind its last packet, and from that one on.
        let until = batch.covered_until_at_ns.map(|until| until + 1);
        insert(&store, v1::Batch { covered_until_at_ns: until, ..batch }).await;
    }
    let rows = store.stretches(&range(0, 180)).await.unwrap();
    let mut rows: Vec<_> = rows.iter().map(|row| (row.first_seq, row.last_seq, row.is_whole)).collect();
    rows.sort_unstable();
    assert_eq!(rows, [(1, 60, 1), (61, 120, 1), (121, 180, 1)]);
    let kept = heard("attic", 0, 180);
    let covered = Coverage::read(&store, &range(0, 180), &kept, BEGIN + 180 * SECOND).await.unwrap();
    assert_eq!((covered.covered_ns, covered.gaps), (180 * SECOND, vec![]));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_whose_batches_were_dropped_count_as_reported_on() {
    let Some((engine, store, _dir)) = start().await else { return };
    let day = 86_400;
    for number in [0, 1, 400] {
        let seq = u64::try_from(number).unwrap() + 1;
        insert(&store, batch("attic", 5, seq, (number * day + 60, number * day + 120))).await;
    }
    // As retention does.
    let old = format!("ALTER TABLE batches DELETE WHERE covered_from_at_ns < {}", BEGIN + 300 * day * SECOND);
    sql(engine.access()).query_raw(&old).with_setting("mutations_sync", "1").execute().await.unwrap();
    let kept = Kept {
        older_than_ns: Some(BEGIN + (400 * day + 60) * SECOND),
        ..heard("attic", 400 * day + 60, 400 * day + 120)
    };
    let read = async |scope: &Scope| {
        let read = Coverage::read(&store, scope, &kept, BEGIN + 401 * day * SECOND).await.unwrap();
        (read.collectors_reporting, read.covered_ns / SECOND, read.only_days_ns / SECOND)
    };
    let all = Scope { range: TimeRange { since_ns: None, until_ns: None }, ..range(0, 0) };
    assert_eq!(read(&all).await, (1, 60, 2 * day));
    assert_eq!(read(&range(day / 2, day)).await, (1, 0, day / 2));
    assert_eq!(read(&range(5 * day, 6 * day)).await, (0, 0, 0));
    assert_eq!(read(&range(400 * day + 60, 401 * day)).await, (1, 60, 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_was_there_is_expected() {
    let Some((engine, store, _dir)) = start().await else { return };
    insert(&store, batch("attic", 5, 1, (0, 60))).await;
    insert(&store, of_file(batch("desk", 8, 1, (-86_400, -80_000)))).await;
    let day = 86_400;
    let kept = heard("attic", 0, 60);
    let expected = async |scope: Scope| Coverage::read(&store, &scope, &kept, BEGIN).await.unwrap().collectors_expected;
    // The file was replayed, but is of another day.
    assert_eq!(expected(range(0, 60)).await, 1);
    assert_eq!(expected(range(-86_400, -86_000)).await, 1);
    assert_eq!(expected(range(-86_400, 60)).await, 2);
    // Missed for a week, then taken away.
    assert_eq!(expected(range(2 * day, 3 * day)).await, 1);
    assert_eq!(expected(range(9 * day, 10 * day)).await, 0);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_1970_does_not_make_decades_reported() {
    let Some((engine, store, _dir)) = start().await else { return };
    insert(&store, batch("attic", 5, 1, (0, 600))).await;
    // A packet of 1970 and one of today, in one batch of a file.
    let mut jumping = of_file(batch("desk", 8, 1, (-BEGIN / SECOND + 1000, 100)));
    let slices = jumping.slices.as_mut().unwrap();
    slices.second = vec![1000];
    insert(&store, jumping).await;

    let all = Scope { range: TimeRange { since_ns: None, until_ns: None }, ..range(0, 0) };
    let kept = heard("attic", 0, 600);
    let read = async |scope: &Scope| Coverage::read(&store, scope, &kept, BEGIN).await.unwrap();
    let covered = read(&all).await;
    // Ten minutes, and the one day on which the file has a packet, as far as the batch reaches into it.
    assert_eq!(covered.covered_ns / SECOND, 600 + 86_400);
    assert_eq!((covered.collectors_reporting, covered.frames), (2, 2));
    let hour = read(&range(0, 600)).await;
    assert_eq!((hour.collectors_reporting, hour.frames, hour.covered_ns / SECOND), (1, 1, 600));
    let between = read(&range(-100 * 86_400, -99 * 86_400)).await;
    assert_eq!((between.collectors_reporting, between.covered_ns), (0, 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_drops_the_oldest_packets_and_keeps_their_sums() {
    let Some((engine, store, _dir)) = start().await else { return };
    let day = 86_400;
    for number in 0..4 {
        insert(&store, batch("attic", 5, u64::try_from(number).unwrap() + 1, (number * day, number * day + 60))).await;
    }
    let bytes = |tables: &[iotq_analyzer::store::TableRow], name: &str| {
        tables.iter().find(|row| row.table == name).map_or(0, |row| row.bytes)
    };
    let tables = store.tables().await.unwrap();
    let (all, slices) = (tables.iter().map(|row| row.bytes).sum::<u64>(), bytes(&tables, "slices"));
    assert_eq!(store.drop_beyond(all).await.unwrap(), 0);
    // One of the four days of packets has to go.
    assert_eq!(store.drop_beyond(all - 1).await.unwrap(), 1);
    let left = bytes(&store.tables().await.unwrap(), "slices");
    assert!(left > slices / 2 && left < slices, "{slices} {left}");
    let count = |table: &'static str| {
        sql(engine.access()).query_raw(&format!("SELECT count() FROM {table}")).fetch_one::<u64>()
    };
    assert_eq!(count("slices").await.unwrap(), 3);
    // However little is allowed, what arrives now stays, and so do the days' sums.
    store.drop_beyond(1).await.unwrap();
    assert_eq!(count("slices").await.unwrap(), 1);
    assert_eq!(count("batches").await.unwrap(), 4);
    let summed =
        sql(engine.access()).query_raw("SELECT sum(a_packets + b_packets) FROM traffic_day").fetch_one::<u64>();
    assert_eq!(summed.await.unwrap(), 4);
    let growth = store.growth(&store.tables().await.unwrap(), 1 << 30, BEGIN + 4 * day * SECOND);
    assert!(growth.is_none_or(|days| days > 0.0), "{growth:?}");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_data_directory_is_brought_up_to_date_and_a_newer_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(engine) = engine(dir.path()).await else { return };
    let server = Server::from(engine.access());
    // As the release with schema 5 left it, which knew no names.
    let old = Store::open_with(&server, 30, Schema::At(5)).await.unwrap();
    assert_eq!(old.about().schema, 5);
    let client = sql(engine.access());
    for statement in include_str!("old/schema-5.sql").split(";\n").filter(|statement| !statement.trim().is_empty()) {
        client.query_raw(statement).execute().await.unwrap();
    }
    let columns =
        "SELECT count() FROM system.columns WHERE database = 'iotq' AND table = 'sightings' AND name = 'text'";
    assert_eq!(client.query_raw(columns).fetch_one::<u64>().await.unwrap(), 0);

    let store = Store::open(&server, 30).await.unwrap();
    assert_eq!(client.query_raw(columns).fetch_one::<u64>().await.unwrap(), 1);
    let all = Scope { range: TimeRange { since_ns: None, until_ns: None }, ..range(0, 0) };
    let mut pairs = Vec::new();
    let mut rows = store.conversations(&all).unwrap();
    while let Some(row) = rows.next().await.unwrap() {
        pairs.push((row.a_ip.to_canonical().to_string(), row.a_packets, row.b_packets));
    }
    assert_eq!(pairs, [("192.168.7.2".to_owned(), 2, 1)]);
    // No more stored as it was then, but told as it was.
    let lengths =
        "SELECT toString(groupArray((wire_bytes, payload_bytes))) FROM (SELECT * FROM packets ORDER BY captured_at)";
    assert_eq!(client.query_raw(lengths).fetch_one::<String>().await.unwrap(), "[(60,10),(80,20),(70,30)]");
    assert_eq!(Coverage::read(&store, &all, &Kept::default(), BEGIN).await.unwrap().frames, 5);
    assert_eq!(store.said().await.unwrap().len(), 0);
    assert_eq!(client.query_raw("SELECT uniqExact(mac) FROM endpoints").fetch_one::<u64>().await.unwrap(), 2);
    // What was stored then is not stored again, and new batches are.
    assert_eq!(store.stored_seqs(&"attic".parse().unwrap(), 5).await.unwrap().through, 1);
    insert(&store, batch("attic", 5, 2, (0, 10))).await;
    assert_eq!(Coverage::read(&store, &all, &Kept::default(), BEGIN).await.unwrap().frames, 6);

    let newer = "INSERT INTO migrations (version, name, checksum) VALUES (9999, 'later', 1)";
    client.query_raw(newer).execute().await.unwrap();
    let error = Store::open(&server, 30).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("newer iotq (schema 9999") && error.contains("upgrade this analyzer"), "{error}");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_read_by_clickhouse_itself() {
    let Some((engine, store, _dir)) = start().await else { return };
    for seq in 1..=3 {
        insert(&store, batch("attic", 5, seq, (i64::try_from(seq).unwrap(), 60))).await;
    }
    let mut file = store.export(ExportTable::Packets, ExportFormat::Parquet, &range(0, 60)).unwrap();
    let octets = file.collect().await.unwrap();
    let client = sql(engine.access());
    let table = "CREATE TABLE read (captured_at DateTime64(9, 'UTC'), collector String, src_ip String, dst_port Nullable(UInt16), \
                 src_mac Nullable(String), wire_bytes UInt32, tcp_flags Nullable(UInt16)) ENGINE = Memory";
    client.query_raw(table).execute().await.unwrap();
    let mut insert = client.insert_formatted_with("INSERT INTO read FORMAT Parquet");
    insert.send(octets).await.unwrap();
    insert.end().await.unwrap();
    let sql = "SELECT concat(toString(captured_at), ' ', collector, ' ', src_ip, ' ', toString(assumeNotNull(dst_port)), ' ', \
               assumeNotNull(src_mac), ' ', toString(wire_bytes), ' ', toString(tcp_flags IS NULL)) FROM read ORDER BY captured_at";
    let rows = client.query_raw(sql).fetch_all::<String>().await.unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0], "2026-11-01 00:00:01.000000001 attic 192.168.7.2 53 00:00:5e:00:53:01 60 1");
    engine.stop().await;
}

/// Sends a batch as its collector would, and waits until it is acknowledged.
async fn push(store: &Store, batch: v1::Batch) -> push_response::Kind {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let (stored, _) = broadcast::channel(4);
    let (registry, metrics) = (Arc::new(Registry::default()), Arc::new(Metrics::new()));
    let ingest = IngestService::new(store.clone(), registry, metrics, stored, stop.clone());
    let server = tonic::transport::Server::builder()
        .add_service(IngestServer::new(ingest))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
    let server = tokio::spawn(server);
    let request = |kind| v1::PushRequest { kind: Some(kind) };
    let (requests, outgoing) = mpsc::channel(8);
    let hello = v1::Hello { collector: batch.collector.clone(), epoch: batch.epoch, ..Default::default() };
    requests.send(request(push_request::Kind::Hello(hello))).await.unwrap();
    requests.send(request(push_request::Kind::Batch(batch))).await.unwrap();
    let mut client = IngestClient::connect(url).await.unwrap();
    let mut answers = client.push(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    let _welcome = answers.message().await.unwrap().unwrap();
    let answer = answers.message().await.unwrap().unwrap().kind.unwrap();
    drop(requests);
    stop.cancel();
    server.await.unwrap().unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_after_a_restore_is_stored_once() {
    let Some((engine, store, dir)) = start().await else { return };
    insert(&store, batch("attic", 5, 1, (0, 10))).await;
    insert(&store, batch("attic", 5, 2, (10, 20))).await;
    engine.stop().await;

    let (file, target) = (dir.path().join("backup.tar"), dir.path().join("target"));
    let library = common::library().unwrap();
    for (command, data_dir) in [("backup", dir.path()), ("restore", target.as_path())] {
        let mut tool = Command::new(common::program());
        tool.arg(command).arg(&file).arg("--data-dir").arg(data_dir).arg("--engine").arg(&library);
        let done = tool.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let engine = self::engine(&target).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    // The engine's tokens did not come along; `batches` did.
    for seq in [1, 2, 3, 3] {
        let from = (i64::try_from(seq).unwrap() - 1) * 10;
        let answer = push(&store, batch("attic", 5, seq, (from, from + 10))).await;
        assert!(matches!(answer, push_response::Kind::Ack(_)), "{answer:?}");
    }
    let client = sql(engine.access());
    for (table, rows) in [("batches", 3), ("slices", 3)] {
        let count = client.query_raw(&format!("SELECT count() FROM {table}")).fetch_one::<u64>().await.unwrap();
        assert_eq!(count, rows, "{table}");
    }
    let summed =
        client.query_raw("SELECT sum(a_packets + b_packets) FROM traffic_day").fetch_one::<u64>().await.unwrap();
    assert_eq!(summed, 3);
    engine.stop().await;
}
