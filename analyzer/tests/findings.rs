//! Connections and names in a real ClickHouse engine: stored once, found again, and
//! counted once where two collectors saw them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{collections::BTreeSet, net::Ipv6Addr, sync::Arc};

use iotq_analyzer::{
    engine::Engine,
    metrics::Metrics,
    store::{ConnectionsFilter, Detail, GivenRow, IdentityColumns, PairOrder, Scope, Server, Store, TimeRange},
};
use iotq_proto::{CheckedBatch, v1};

const SECOND: i64 = 1_700_000_000;
const NANOS: i64 = 1_000_000_000;

fn ip(text: &str) -> Vec<u8> {
    iotq_proto::address_octets(text.parse().unwrap()).to_vec()
}

fn at(secs: i64) -> i64 {
    (SECOND + secs) * NANOS
}

/// What one collector says about the same half hour.
fn batch(collector: &str, seq: u64) -> CheckedBatch {
    let (client, server) = (ip("192.168.7.2"), ip("203.0.113.9"));
    let connection = |number, update, started: i64, last: i64| v1::ConnectionUpdate {
        number,
        update,
        started_at_ns: at(started),
        last_at_ns: at(last),
        orig_ip: client.clone(),
        resp_ip: server.clone(),
        ip_version: 4,
        protocol: 6,
        has_ports: true,
        orig_port: 50_000 + u32::try_from(number).unwrap(),
        resp_port: 443,
        orig_mac: 0x5e00_5301,
        resp_mac: 0x5e00_5302,
        vlan_id: 0xffff,
        ..Default::default()
    };
    let beats: Vec<i64> = (0..30).map(|beat| SECOND + beat * 60).collect();
    let count = beats.len();
    let batch = v1::Batch {
        collector: collector.into(),
        epoch: 5,
        seq,
        sealed_at_ns: at(4000),
        covered_from_at_ns: Some(at(0)),
        covered_until_at_ns: Some(at(3600)),
        frames: 2 * count as u64,
        slices: Some(v1::FlowSlices {
            second: beats,
            vlan_id: vec![0xffff; count],
            a_mac: vec![0x5e00_5301; count],
            b_mac: vec![0x5e00_5302; count],
            a_ip: client.repeat(count),
            b_ip: server.repeat(count),
            ip_version: vec![4; count],
            protocol: vec![6; count],
            has_ports: vec![1; count],
            a_port: vec![50_001; count],
            b_port: vec![443; count],
            packets: vec![2; count],
            offset_ns: [1000, 2000].repeat(count),
            wire_bytes: [100, 60].repeat(count),
            payload_bytes: [40, 0].repeat(count),
            tcp_flags: [0x18, 0x10].repeat(count),
            from_a: [1, 0].repeat(count),
        }),
        connections: vec![
            v1::ConnectionUpdate {
                state: v1::ConnState::S0.into(),
                orig_packets: 1,
                orig_syns: 1,
                only_syns: true,
                ..connection(1, 1, 0, 0)
            },
            v1::ConnectionUpdate {
                state: v1::ConnState::S1.into(),
                orig_packets: 29,
                resp_packets: 30,
                payload_packets: 30,
                service: v1::Service::Tls.into(),
                server_name: "cloud.example.com".into(),
                server_name_source: v1::ServerNameSource::Sni.into(),
                handshake_rtt_ns: Some(20_000_000),
                ..connection(1, 2, 0, 1740)
            },
            v1::ConnectionUpdate {
                state: v1::ConnState::S0.into(),
                end: v1::ConnectionEnd::Timeout.into(),
                orig_packets: 3,
                orig_syns: 3,
                only_syns: true,
                resp_ip: ip("203.0.113.10"),
                ..connection(2, 1, 100, 107)
            },
        ],
        dns: vec![v1::DnsTransaction {
            kind: v1::DnsKind::Dns.into(),
            question_seen: true,
            asked_at_ns: at(99),
            answered_at_ns: Some(at(99) + 1),
            client_ip: client.clone(),
            server_ip: ip("192.168.7.1"),
            client_port: 40_000,
            server_port: 53,
            ip_version: 4,
            protocol: 17,
            client_mac: 0x5e00_5301,
            vlan_id: 0xffff,
            qname: "silent.example.com".into(),
            qtype: 1,
            rcode: Some(0),
            answers: vec![v1::DnsRecord {
                name: "silent.example.com".into(),
                r#type: 1,
                ttl_secs: 60,
                data: "203.0.113.10".into(),
            }],
        }],
        tls_hellos: vec![v1::TlsHello {
            seen_at_ns: at(1),
            client_ip: client.clone(),
            server_ip: server.clone(),
            client_port: 50_001,
            server_port: 443,
            ip_version: 4,
            client_mac: 0x5e00_5301,
            vlan_id: 0xffff,
            transport: v1::TlsTransport::Tcp.into(),
            version: 0x0303,
            sni: "cloud.example.com".into(),
            alpn: vec!["h2".into()],
            ja4: "t12d0102h2_0123456789ab_0123456789ab".into(),
            ech: false,
        }],
        time_requests: vec![v1::TimeRequest {
            requested_at_ns: at(5),
            replied_at_ns: None,
            client_ip: client.clone(),
            server_ip: ip("203.0.113.123"),
            client_port: 123,
            ip_version: 4,
            client_mac: 0x5e00_5301,
            vlan_id: 0xffff,
            version: 4,
        }],
        sightings: vec![v1::Sighting {
            kind: v1::SightingKind::DhcpHostName.into(),
            vlan_id: 0xffff,
            mac: 0x5e00_5301,
            ip: client.clone(),
            prefix_len: 128,
            count: 1,
            first_at_ns: at(0),
            last_at_ns: at(0),
            text: "robot".into(),
        }],
        ..Default::default()
    };
    CheckedBatch::try_from(batch).unwrap()
}

fn scope(several_collectors: bool, collectors: &[&str]) -> Scope {
    let local = "192.168.0.0/16".parse().unwrap();
    Scope {
        range: TimeRange { since_ns: Some(at(-60)), until_ns: Some(at(3600)) },
        collectors: collectors.iter().map(ToString::to_string).collect(),
        devices: None,
        nets: vec![],
        identity: IdentityColumns {
            local_nets: vec![iotq_analyzer::enrich::range_of(&local)],
            routers: collectors_of_routers(),
            ..IdentityColumns::default()
        },
        limit: 0,
        several_collectors,
        newest_at_ns: None,
        explained: None,
    }
}

fn collectors_of_routers() -> Vec<(String, u64)> {
    ["attic", "cellar"].map(|name| (name.to_owned(), 0x5e00_5302)).to_vec()
}

fn every_connection() -> ConnectionsFilter {
    ConnectionsFilter { only_open: false, states: vec![], longer_than_ns: 0 }
}

/// Every answer about connections and names, as text that can be compared.
async fn answers(store: &Store, scope: &Scope) -> Vec<String> {
    let mut lines = Vec::new();
    let mut connections = store.connections(scope, &every_connection()).unwrap();
    while let Some(row) = connections.next().await.unwrap() {
        lines.push(format!(
            "connection {}:{} {} {} orig {} resp {} open {} {}",
            row.resp_ip.to_canonical(),
            row.resp_port,
            row.state,
            row.server_name,
            row.orig_packets,
            row.resp_packets,
            row.is_open,
            row.handshake_rtt_ns,
        ));
    }
    let mut dns = store.dns(scope).unwrap();
    while let Some(row) = dns.next().await.unwrap() {
        lines.push(format!("dns {} {} {:?} {:?}", row.qname, row.qtype, row.rcode, row.answer_data));
    }
    let mut tls = store.tls(scope).unwrap();
    while let Some(row) = tls.next().await.unwrap() {
        lines.push(format!("tls {} {:#06x} {:?} {}", row.sni, row.version, row.alpn, row.ja4));
    }
    for row in store.time_servers(scope).await.unwrap() {
        lines.push(format!("time {} {} {}", row.server_ip.to_canonical(), row.requests, row.replies));
    }
    for row in store.unanswered(scope, 0).await.unwrap() {
        lines.push(format!("unanswered {} {} {} {}", row.resp_ip.to_canonical(), row.attempts, row.syns, row.refused));
    }
    let mut beats = store.beats(scope, &[], 5, 20).unwrap();
    let mut told = BTreeSet::new();
    while let Some(row) = beats.next().await.unwrap() {
        let (peer, packets) = (row.b_ip.to_canonical(), row.packets.first());
        told.insert(format!("beats {peer} {} {packets:?}", row.seconds.len()));
    }
    // Each collector's are told; who asks takes the first.
    lines.extend(told);
    let mut starts = store.starts(scope).unwrap();
    while let Some(row) = starts.next().await.unwrap() {
        lines.push(format!("starts {} {} {}", row.resp_ip.to_canonical(), row.server_name, row.starts.len()));
    }
    for row in store.encrypted(scope).await.unwrap() {
        lines.push(format!("encrypted {} {} of {}", row.peer_ip.to_canonical(), row.encrypted, row.packets));
    }
    let mut first = store.exchanged(scope, Detail::Times, PairOrder::Any).unwrap();
    while let Some(row) = first.next().await.unwrap() {
        lines.push(format!("first {} {}", row.b_ip.to_canonical(), (row.first_at_ns - at(0)) / NANOS));
    }
    let mut names = store.peer_names(scope).await.unwrap();
    names.sort_by(|one, other| one.name.cmp(&other.name));
    for row in names {
        lines.push(format!("name {} {} {}", row.ip.to_canonical(), row.name, row.source));
    }
    let mut exchanged = store.exchanged(scope, Detail::Minutes, PairOrder::Any).unwrap();
    while let Some(row) = exchanged.next().await.unwrap() {
        let packets = row.a_packets + row.b_packets;
        let minutes = row.awake_minutes.count_ones();
        lines.push(format!("exchanged {:x} {} {packets} {minutes}", row.a_mac, row.b_ip.to_canonical()));
    }
    let mut packets = store.packets(scope).unwrap();
    let mut count = 0;
    while packets.next().await.unwrap().is_some() {
        count += 1;
    }
    lines.push(format!("packets {count}"));
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_collectors_saw_counts_once() {
    let Some(library) = common::library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let engine =
        Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::new(Metrics::new())).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    // Resent batches change nothing.
    for _ in 0..2 {
        store.insert(&batch("attic", 1)).await.unwrap();
    }
    let expected = [
        "connection 203.0.113.9:443 S1 cloud.example.com orig 30 resp 30 open 1 20000000",
        "connection 203.0.113.10:443 S0  orig 3 resp 0 open 0 -1",
        "dns silent.example.com 1 Some(0) [\"203.0.113.10\"]",
        "tls cloud.example.com 0x0303 [\"h2\"] t12d0102h2_0123456789ab_0123456789ab",
        "time 203.0.113.123 1 0",
        "unanswered 203.0.113.10 1 3 0",
        "beats 203.0.113.9 30 Some(2)",
        "starts 203.0.113.9 cloud.example.com 1",
        "encrypted 203.0.113.9 30 of 30",
        "first 203.0.113.9 0",
        "name 203.0.113.9 cloud.example.com sni",
        "name 203.0.113.10 silent.example.com dns",
        "exchanged 5e005301 203.0.113.9 60 30",
        "packets 60",
    ];
    assert_eq!(answers(&store, &scope(false, &[])).await, expected);

    store.insert(&batch("cellar", 1)).await.unwrap();
    assert_eq!(answers(&store, &scope(true, &[])).await, expected);
    assert_eq!(answers(&store, &scope(false, &["cellar"])).await, expected);
    let mut connections = store.connections(&scope(true, &[]), &every_connection()).unwrap();
    let row = connections.next().await.unwrap().unwrap();
    assert_eq!((row.collector.as_str(), row.also_seen_by), ("attic", vec!["cellar".to_owned()]));
    // Thirty minutes from the full hour on: of the hour, with its end open, from before it, from the middle of its second minute on.
    let newest = Some(at(3780));
    for (since, until, newest_at_ns, minutes) in [
        (0, 3600, None, 0..30),
        (0, 5000, newest, 0..30),
        (-3600, 5000, Some(at(239)), 60..64),
        (-30, 3600, None, 1..31),
        (-30, 3600, newest, 1..31),
        (-600, 1800, None, 10..40),
        (90, 3600, None, 1..29),
        (90, 5000, newest, 1..29),
    ] {
        let expected = minutes.fold(0, |bits, minute| bits | 1_u64 << minute);
        for (several, collectors) in [(true, &[][..]), (false, &["attic"])] {
            let range = TimeRange { since_ns: Some(at(since)), until_ns: Some(at(until)) };
            let scope = Scope { range, newest_at_ns, ..scope(several, collectors) };
            let row = store.exchanged(&scope, Detail::Minutes, PairOrder::Any).unwrap().next().await.unwrap().unwrap();
            assert_eq!(row.awake_minutes, expected, "{since}..{until}");
        }
    }
    let said = store.said().await.unwrap();
    assert!(said.iter().all(|row| row.text == "robot" && row.ip == "::ffff:192.168.7.2".parse::<Ipv6Addr>().unwrap()));

    let given = |name: &str, set_at_ns| GivenRow {
        device: "00:00:5e:00:53:01".into(),
        source: "user".into(),
        name: name.into(),
        groups: vec!["robots".into()],
        set_at_ns,
    };
    for (name, set_at_ns) in [("Rosie", 1), ("Dusty", 2), ("Rosie", 3)] {
        store.give_names(&[given(name, set_at_ns)]).await.unwrap();
    }
    assert_eq!(store.given_names().await.unwrap(), [given("Rosie", 3)]);
    engine.stop().await;
}

/// `MAC hour: awake minutes, packets`.
async fn hours(store: &Store, scope: &Scope) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rows = store.endpoint_hours(scope).unwrap();
    while let Some(row) = rows.next().await.unwrap() {
        let mut hours = std::collections::BTreeMap::<i32, (u64, u64)>::new();
        for ((hour, awake_minutes), packets) in row.hours.iter().zip(&row.awake_minutes).zip(&row.packets) {
            let sum = hours.entry(*hour).or_default();
            *sum = (sum.0 | awake_minutes, sum.1 + packets);
        }
        let line = |(hour, (minutes, packets)): (i32, (u64, u64))| {
            format!("{:x} {hour}: {}, {packets}", row.mac, minutes.count_ones())
        };
        lines.extend(hours.into_iter().map(line));
    }
    lines
}

/// An hour later the same from another device.
fn an_hour_later() -> CheckedBatch {
    let mut batch = batch("attic", 2).batch().clone();
    let slices = batch.slices.as_mut().unwrap();
    slices.second.iter_mut().for_each(|second| *second += 3600);
    slices.a_mac.fill(0x5e00_5304);
    slices.a_ip = ip("192.168.7.4").repeat(slices.second.len());
    batch.covered_from_at_ns = Some(at(3600));
    batch.covered_until_at_ns = Some(at(7200));
    (batch.connections, batch.dns, batch.tls_hellos) = Default::default();
    (batch.time_requests, batch.sightings) = Default::default();
    CheckedBatch::try_from(batch).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_asked_for_does_not_shorten_the_search() {
    let Some(library) = common::library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let engine =
        Engine::start(common::program(), &library, dir.path(), 1 << 30, Arc::new(Metrics::new())).await.unwrap();
    let store = Store::open(&Server::from(engine.access()), 30).await.unwrap();
    for batch in [batch("attic", 1), an_hour_later()] {
        store.insert(&batch).await.unwrap();
    }
    let all = Scope { range: TimeRange { since_ns: None, until_ns: None }, ..scope(false, &[]) };
    let since = async |scope: &Scope, most| store.searched_since(scope, most).await.unwrap();
    let begin = SECOND - SECOND % 3600 + 3600;
    assert_eq!(since(&all, 60).await, Some(begin), "there are as many in the newer hour");
    assert_eq!(since(&all, 61).await, None);
    let device = (0x5e00_5301, 0xffff, Ipv6Addr::UNSPECIFIED);
    let of_device = Scope { devices: Some(vec![device]), ..all.clone() };
    assert_eq!(since(&of_device, 60).await, None, "it has none in the newer hour");
    let address = "192.168.7.2/32".parse().unwrap();
    let of_net = Scope { nets: vec![iotq_analyzer::enrich::range_of(&address)], ..all.clone() };
    assert_eq!(since(&of_net, 60).await, None);

    let mut clients = Vec::new();
    let mut beats = store.beats(&of_device, &[], 5, 20).unwrap();
    while let Some(row) = beats.next().await.unwrap() {
        clients.push(row.a_ip.to_canonical().to_string());
    }
    assert_eq!(clients, ["192.168.7.2"]);

    // Half an hour's minutes of each device, in an hour of its own.
    let mut found = hours(&store, &all).await;
    found.sort();
    let (first, second) = (SECOND / 3600, SECOND / 3600 + 1);
    assert_eq!(found, [format!("5e005301 {first}: 30, 60"), format!("5e005304 {second}: 30, 60")]);
    let range = TimeRange { since_ns: Some(at(60)), until_ns: Some(at(3600 + 121)) };
    let mut found = hours(&store, &Scope { range, ..all }).await;
    found.sort();
    assert_eq!(found, [format!("5e005301 {first}: 29, 58"), format!("5e005304 {second}: 3, 6")]);
    engine.stop().await;
}
