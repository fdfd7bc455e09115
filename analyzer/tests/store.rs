//! The store on a real ClickHouse engine: what is repeated changes nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clickhouse::Client;
use iotq_analyzer::{
    coverage::{Coverage, Kept},
    engine::Engine,
    metrics::Metrics,
    store::{IdentityColumns, Scope, Server, Store, TimeRange},
};
use iotq_proto::{CheckedBatch, v1};
use tempfile::TempDir;

struct Running {
    engine: Engine,
    store: Store,
    dir: TempDir,
}

/// `None` where there is no engine.
async fn start() -> Option<Running> {
    let library = common::library()?;
    let dir = tempfile::tempdir().unwrap();
    let engine =
        Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::new(Metrics::new())).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    Some(Running { engine, store, dir })
}

/// A batch of two slices with three packets between them.
fn batch(seq: u64) -> CheckedBatch {
    let second = 1_700_000_000;
    let mut ips =
        ["::ffff:192.168.7.2", "::ffff:192.168.7.3"].map(|ip| ip.parse::<std::net::Ipv6Addr>().unwrap().octets());
    ips.sort_unstable();
    let [a, b] = ips;
    let batch = v1::Batch {
        collector: "attic".into(),
        epoch: 5,
        seq,
        sealed_at_ns: 1_700_000_100_000_000_000,
        covered_from_at_ns: Some(second * 1_000_000_000),
        covered_until_at_ns: Some((second + 60) * 1_000_000_000),
        frames: 6,
        slices: Some(v1::FlowSlices {
            second: vec![second, second + 59],
            vlan_id: vec![0xffff; 2],
            a_mac: vec![0x5e00_5301; 2],
            b_mac: vec![0x5e00_5302; 2],
            a_ip: [a, a].concat(),
            b_ip: [b, b].concat(),
            ip_version: vec![4; 2],
            protocol: vec![17; 2],
            has_ports: vec![1; 2],
            a_port: vec![5353; 2],
            b_port: vec![53; 2],
            packets: vec![2, 1],
            offset_ns: vec![1, 2, 3],
            wire_bytes: vec![60, 70, 80],
            payload_bytes: vec![10, 20, 30],
            tcp_flags: vec![0xffff; 3],
            from_a: vec![1, 0, 1],
        }),
        no_ip: vec![v1::NoIpCount { link_protocol: 0x0806, mac: 1, frames: 2, wire_bytes: 120 }],
        lost: vec![v1::LossCount { stage: v1::LossStage::KernelRing.into(), packets: 1 }],
        connections: vec![v1::ConnectionUpdate {
            number: seq,
            update: 1,
            started_at_ns: second * 1_000_000_000,
            last_at_ns: (second + 60) * 1_000_000_000,
            orig_ip: a.to_vec(),
            resp_ip: b.to_vec(),
            ip_version: 4,
            protocol: 17,
            has_ports: true,
            orig_port: 5353,
            resp_port: 53,
            orig_mac: 0x5e00_5301,
            resp_mac: 0x5e00_5302,
            vlan_id: 0xffff,
            state: v1::ConnState::Sf.into(),
            orig_packets: 2,
            resp_packets: 1,
            ..Default::default()
        }],
        sightings: vec![v1::Sighting {
            kind: v1::SightingKind::Arp.into(),
            vlan_id: 0xffff,
            mac: 0x5e00_5301,
            ip: a.to_vec(),
            prefix_len: 128,
            count: 2,
            first_at_ns: 1,
            last_at_ns: 2,
            ..v1::Sighting::default()
        }],
        ..Default::default()
    };
    CheckedBatch::try_from(batch).unwrap()
}

fn everything() -> Scope {
    Scope {
        range: TimeRange { since_ns: None, until_ns: None },
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

/// Packets by the hourly roll-up, by the slices, and frames by the batches.
async fn counts(store: &Store) -> (u64, usize, u64) {
    let scope = everything();
    let mut rolled_up = 0;
    let mut rows = store.conversations(&scope).unwrap();
    while let Some(row) = rows.next().await.unwrap() {
        rolled_up += row.a_packets + row.b_packets;
    }
    let mut packets = 0;
    let mut rows = store.packets(&scope).unwrap();
    while rows.next().await.unwrap().is_some() {
        packets += 1;
    }
    (rolled_up, packets, Coverage::read(store, &scope, &Kept::default(), 0).await.unwrap().frames)
}

/// Packets of connections, as a view behind the insert summed them up.
async fn packets_of_connections(engine: &Engine) -> u64 {
    let access = engine.access();
    let client = Client::default()
        .with_url(&access.url)
        .with_user(&access.user)
        .with_password(&access.password)
        .with_header(&access.header, &access.header_value)
        .with_database("iotq");
    client.query_raw("SELECT sum(orig_packets + resp_packets) FROM connections").fetch_one().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_once_however_often_it_is_sent() {
    let Some(running) = start().await else { return };
    let store = &running.store;
    for seq in [1, 2, 1, 2, 2] {
        store.insert(&batch(seq)).await.unwrap();
    }
    assert_eq!(counts(store).await, (6, 6, 12));
    assert_eq!(packets_of_connections(&running.engine).await, 6);
    let no_ip = store.no_ip(&[]).await.unwrap();
    assert_eq!(no_ip.iter().map(|row| row.frames).sum::<u64>(), 4);
    assert_eq!(store.stored_seqs(&"attic".parse().unwrap(), 5).await.unwrap().through, 2);
    running.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_after_both_were_restarted_is_stored_once() {
    let Some(running) = start().await else { return };
    running.store.insert(&batch(1)).await.unwrap();
    let Running { engine, dir, .. } = running;
    engine.stop().await;

    // Migrations are applied already; tokens are on the disk.
    let library = common::library().unwrap();
    let engine =
        Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::new(Metrics::new())).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    store.insert(&batch(1)).await.unwrap();
    assert_eq!(counts(&store).await, (3, 3, 6));
    assert_eq!(packets_of_connections(&engine).await, 3);
    engine.stop().await;
}

/// Folders of this table's parts below the engine's store.
fn parts_of(store: &Path, table: &str) -> Vec<PathBuf> {
    let table = fs::canonicalize(store.join("data/iotq").join(table)).unwrap();
    let folders = fs::read_dir(table).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.join("checksums.txt").is_file()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_ended_before_its_part_was_in_its_place_is_done_again() {
    let Some(running) = start().await else { return };
    running.store.insert(&batch(1)).await.unwrap();
    let Running { engine, dir, .. } = running;
    engine.stop().await;
    // As if the engine had been killed between the token and the part of one table, and of a view's.
    let files = dir.path().join("engine/store");
    for table in ["slices", "connections"] {
        let [part] = <[_; 1]>::try_from(parts_of(&files, table)).unwrap();
        fs::remove_dir_all(part).unwrap();
    }

    let library = common::library().unwrap();
    let engine =
        Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::new(Metrics::new())).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    assert_eq!((counts(&store).await, packets_of_connections(&engine).await), ((3, 0, 6), 0));
    store.insert(&batch(1)).await.unwrap();
    assert_eq!((counts(&store).await, packets_of_connections(&engine).await), ((3, 3, 6), 3));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_started_anew_takes_inserts_again() {
    let Some(running) = start().await else { return };
    running.store.insert(&batch(1)).await.unwrap();
    assert!(running.engine.access().restart.now().await);
    for seq in [1, 2] {
        running.store.insert(&batch(seq)).await.unwrap();
    }
    assert_eq!(counts(&running.store).await, (6, 6, 12));
    running.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_analyzer() {
    let Some(running) = start().await else { return };
    let second =
        Engine::start(common::program(), Path::new("/nowhere"), running.dir.path(), 1 << 30, Arc::new(Metrics::new()))
            .await;
    let error = second.unwrap_err().to_string();
    assert!(error.contains("used by another analyzer"), "{error}");
    running.engine.stop().await;
}
