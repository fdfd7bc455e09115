//! A cluster of two real ClickHouse servers: what is answered, stored once, forgotten and refused
//! is what a single one answers, stores, forgets and refuses.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use iotq_tests::{
    scenario::{MINUTE_NS, Span, capture_of, household},
    system::{
        Analyzer, ClickHouse, Cluster, PATIENCE, Replay, Setup, eventually, free_port, has_engine, replay,
        replay_in_background, run,
    },
};
use serde_json::Value;

const SPAN: Span = Span { since_ns: 1_790_000_040_000_000_000, until_ns: 1_790_000_040_000_000_000 + 60 * MINUTE_NS };

const QUESTIONS: [&[&str]; 17] = [
    &["top-talkers"],
    &["top-talkers", "--by", "rate"],
    &["devices"],
    &["destinations"],
    &["conversations"],
    &["connections", "--limit", "0"],
    &["connections", "--open"],
    &["timeline", "--step", "1m"],
    &["timeline", "--step", "10m", "--by", "device"],
    &["unanswered"],
    &["keepalives"],
    &["dns", "--limit", "0"],
    &["tls", "--limit", "0"],
    &["time-servers"],
    &["first-seen"],
    &["packets", "--limit", "0"],
    &["groups"],
];

/// Two servers that know each other.
struct Servers {
    shards: Vec<ClickHouse>,
}

impl Servers {
    fn start() -> Self {
        let cluster = Cluster { shards: vec![free_port(), free_port()] };
        Self { shards: cluster.shards.iter().map(|port| ClickHouse::start_in(*port, &cluster)).collect() }
    }

    fn urls(&self) -> String {
        self.shards.iter().map(ClickHouse::url).collect::<Vec<_>>().join(",")
    }

    fn setup(&self) -> Setup {
        Setup { clickhouse: Some(self.urls()), is_cluster: true, ..Setup::default() }
    }

    /// Rows of a table on each shard.
    fn rows(&self, table: &str) -> Vec<u64> {
        let sql = format!("SELECT count() FROM iotq_shard.{table}");
        self.shards.iter().map(|shard| shard.query(&sql).trim().parse().unwrap()).collect()
    }

    /// A collector's name for each shard.
    fn names(&self) -> Vec<String> {
        let shard_of = |name: &str| {
            let sql = format!("SELECT cityHash64('{name}') % {}", self.shards.len());
            self.shards[0].query(&sql).trim().parse::<usize>().unwrap()
        };
        let named = |shard| (0..).map(|number| format!("port{number}")).find(|name| shard_of(name) == shard).unwrap();
        (0..self.shards.len()).map(named).collect()
    }
}

fn file_of(folder: &Path, seed: u64) -> (PathBuf, String) {
    let scenario = household(SPAN, seed);
    let file = folder.join(format!("hour-{seed}.pcap"));
    fs::write(&file, capture_of(&scenario.frames)).unwrap();
    (file, scenario.description.names_file())
}

/// In an order of their own: what is equal may come in any.
fn answer(analyzer: &Analyzer, question: &[&str]) -> Vec<String> {
    let rows = analyzer.rows(question.iter().copied().chain(["--since", "all"]));
    let mut rows: Vec<_> = rows.iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_cluster_answers_as_a_single_server_does() {
    if !has_engine() {
        return;
    }
    let servers = Servers::start();
    let folder = tempfile::tempdir().unwrap();
    let (file, names) = file_of(folder.path(), 1);
    let single = Analyzer::start(Setup { names: Some(names.clone()), ..Setup::default() });
    let cluster = Analyzer::start(Setup { names: Some(names), ..servers.setup() });
    // Both ports saw the same packets: they count once, though they lie on two shards.
    for name in servers.names() {
        for analyzer in [&single, &cluster] {
            let done = replay(&analyzer.url(), &[&file], &["--name", &name]);
            done.finished.assert_code(0);
            done.assert_balanced();
        }
    }
    for table in ["slices", "batches", "traffic_minute", "connections", "dns", "peer_names"] {
        assert!(servers.rows(table).iter().all(|rows| *rows > 0), "{table}: {:?}", servers.rows(table));
    }
    for analyzer in [&single, &cluster] {
        analyzer.try_ask(["device", "00:00:5e:00:53:77", "set", "--name", "Not here yet"]).assert_code(0);
        analyzer.try_ask(["device", "00:00:5e:00:53:78", "set", "--name", "Nor this one"]).assert_code(0);
    }
    for question in QUESTIONS {
        let (wanted, got) = (answer(&single, question), answer(&cluster, question));
        assert!(!wanted.is_empty() || question == ["connections", "--open"], "{question:?}");
        assert_eq!(got, wanted, "{question:?}");
    }
    let rows = |analyzer: &Analyzer, table: &str| analyzer.status()["store"]["tables"][table]["rows"].clone();
    for table in ["slices", "dns"] {
        assert_eq!(rows(&cluster, table), rows(&single, table), "{table}");
    }
    assert!(cluster.status()["store"].to_string().contains("cluster iotq_test"), "{}", cluster.status());

    // What is forgotten is gone from each shard.
    let asked = ["forget", "--device", "Kindle", "--yes"];
    for analyzer in [&single, &cluster] {
        analyzer.try_ask(asked).assert_code(0);
    }
    for question in [&["devices"][..], &["connections", "--limit", "0"], &["packets", "--limit", "0"]] {
        assert_eq!(answer(&cluster, question), answer(&single, question), "{question:?}");
    }
}

#[test]
fn two_analyzers_of_a_cluster_store_a_batch_once() {
    if !has_engine() {
        return;
    }
    let servers = Servers::start();
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = file_of(folder.path(), 2);
    let mut first = Analyzer::start(servers.setup());
    let second = Analyzer::start(servers.setup());
    let name = &servers.names()[1];
    let flags = ["--name", name, "--analyzer", &second.url()];
    let sending = replay_in_background(&first.url(), &[&file], &flags);
    eventually("something is stored", || servers.rows("slices").iter().any(|rows| *rows > 0).then_some(()));
    first.kill9();
    let done = Replay::from({
        let mut sending = sending;
        sending.wait(PATIENCE)
    });
    done.finished.assert_code(0);
    done.assert_balanced();
    let rows = second.rows(["timeline", "--step", "1h", "--since", "all"]);
    let packets: u64 = rows.iter().map(|row| row["packets"].as_u64().unwrap()).sum();
    assert_eq!(packets, done.count("stored_packets"));
}

#[test]
fn what_is_no_whole_cluster_is_refused_and_a_lost_shard_said() {
    if !has_engine() {
        return;
    }
    let mut servers = Servers::start();
    let refused = |setup: Setup, why: &str| {
        let finished = run(&mut Analyzer::absent(setup).command(), PATIENCE);
        finished.assert_code(1);
        assert!(finished.stderr.contains(why), "{why}: {}", finished.stderr);
    };
    let only_one = Setup { clickhouse: Some(servers.shards[0].url()), ..servers.setup() };
    refused(only_one, "cluster `iotq_test` has 2 shards, and servers of 1 answer");
    let other = ClickHouse::start();
    refused(Setup { clickhouse: Some(other.url()), ..servers.setup() }, "in no shard of a cluster `iotq_test`");
    let _ = servers.shards[1].query("CREATE DATABASE iotq");
    let _ = servers.shards[1].query("CREATE TABLE iotq.slices (a UInt8) ENGINE = MergeTree ORDER BY a");
    refused(servers.setup(), "holds tables of a single server");
    let _ = servers.shards[1].query("DROP DATABASE iotq SYNC");

    let analyzer = Analyzer::start(servers.setup());
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = file_of(folder.path(), 3);
    replay(&analyzer.url(), &[&file], &["--name", &servers.names()[1]]).finished.assert_code(0);
    let before = answer(&analyzer, &["top-talkers"]);
    assert!(!before.is_empty());
    // The first one, which is asked: the second one is asked then, and says that it does not know all.
    drop(servers.shards.remove(0));
    eventually("the other server is asked", || analyzer.log().contains("asking this one").then_some(()));
    let finished = analyzer.try_ask(["top-talkers", "--since", "all"]);
    finished.assert_code(1);
    assert!(!finished.stderr.is_empty());
}
