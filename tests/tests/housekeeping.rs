//! Keeping house: backup and restore, forgetting, export, and that every frame is accounted
//! for in the store.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use iotq_tests::{
    scenario::{MINUTE_NS, Span, capture_of, household},
    system::{Analyzer, Finished, PATIENCE, Setup, captures, eventually, has_engine, program, replay, run},
};
use serde_json::Value;
use tempfile::TempDir;

const SPAN: Span = Span { since_ns: 1_790_000_040_000_000_000, until_ns: 1_790_000_040_000_000_000 + 60 * MINUTE_NS };

const QUESTIONS: [&str; 11] = [
    "top-talkers",
    "devices",
    "destinations",
    "conversations",
    "connections",
    "unanswered",
    "keepalives",
    "dns",
    "tls",
    "time-servers",
    "packets",
];

/// An analyzer that has an hour of the household.
fn house() -> (Analyzer, TempDir) {
    let scenario = household(SPAN, 1);
    let analyzer = Analyzer::start(Setup { names: Some(scenario.description.names_file()), ..Setup::default() });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hour.pcap");
    fs::write(&file, capture_of(&scenario.frames)).unwrap();
    let done = replay(&analyzer.url(), &[&file], &["--name", "house"]);
    done.finished.assert_code(0);
    done.assert_balanced();
    (analyzer, folder)
}

fn all(analyzer: &Analyzer, question: &str) -> Vec<Value> {
    analyzer.rows([question, "--since", "all"])
}

fn answers(analyzer: &Analyzer) -> Vec<(&'static str, Vec<Value>)> {
    QUESTIONS.into_iter().map(|question| (question, all(analyzer, question))).collect()
}

fn tool(command: &str, file: &Path, data_dir: &Path) -> Finished {
    run(Command::new(program("iotq-analyzer")).arg(command).arg(file).arg("--data-dir").arg(data_dir), PATIENCE)
}

fn refused(finished: &Finished, why: &str) {
    finished.assert_code(1);
    assert!(finished.stderr.contains(why), "{why}: {}", finished.stderr);
}

#[test]
fn a_backup_made_while_serving_answers_the_same_when_restored() {
    if !has_engine() {
        return;
    }
    let (mut analyzer, folder) = house();
    let named = analyzer.try_ask(["device", "00:00:5e:00:53:77", "set", "--name", "Not here yet"]);
    named.assert_code(0);
    let before = answers(&analyzer);
    let file = folder.path().join("house.tar");
    tool("backup", &file, &analyzer.data_dir()).assert_code(0);
    refused(&tool("backup", &file, &analyzer.data_dir()), "exists already");
    // The analyzer removes its links when it hears that nobody needs them.
    let shadow = analyzer.data_dir().join("engine/store/shadow");
    eventually("the links are removed", || {
        let mut names = shadow.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        (!names.any(|name| name.to_string_lossy().starts_with("iotq_"))).then_some(())
    });
    // What is used already is not overwritten, while it is served or not.
    refused(&tool("restore", &file, &analyzer.data_dir()), "has a store already");
    analyzer.stop().assert_code(0);
    refused(&tool("restore", &file, &analyzer.data_dir()), "has a store already");

    // Stopped, the same comes out.
    let stopped = folder.path().join("stopped.tar");
    tool("backup", &stopped, &analyzer.data_dir()).assert_code(0);

    let names = household(SPAN, 1).description.names_file();
    for file in [&file, &stopped] {
        let mut restored = Analyzer::absent(Setup { names: Some(names.clone()), ..Setup::default() });
        tool("restore", file, &restored.data_dir()).assert_code(0);
        restored.restart();
        for ((question, before), (_, after)) in before.iter().zip(answers(&restored)) {
            assert_eq!(*before, after, "{question}");
        }
        assert_eq!(restored.status_of("house").unwrap()["batches"], batches_in(&restored));
        restored.stop().assert_code(0);
    }
}

/// Rows of `batches`: one each.
fn batches_in(restored: &Analyzer) -> Value {
    let batches = restored.rows(["status"])[0]["store"]["tables"]["batches"]["rows"].clone();
    assert!(batches.as_u64().unwrap() > 0);
    batches
}

#[test]
fn what_is_no_whole_backup_is_refused_and_leaves_nothing_behind() {
    if !has_engine() {
        return;
    }
    let (mut analyzer, folder) = house();
    let file = folder.path().join("house.tar");
    tool("backup", &file, &analyzer.data_dir()).assert_code(0);
    analyzer.stop().assert_code(0);
    let whole = fs::read(&file).unwrap();
    let target = folder.path().join("target");
    let variant = |name: &str, octets: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, octets).unwrap();
        path
    };
    let mut damaged = whole.clone();
    // Near the middle, in a file's contents: zeros fill up what comes between files.
    let middle = whole.len() / 2;
    let contents = (middle..).find(|at| whole[*at..at + 16].iter().all(|octet| *octet != 0)).unwrap();
    damaged[contents] ^= 1;
    for (file, why) in [
        (variant("cut.tar", &whole[..whole.len() * 2 / 3]), "not whole"),
        (variant("damaged.tar", &damaged), "damaged"),
        (variant("foreign.tar", &whole[1024..]), "no backup of iotq"),
        (variant("empty.tar", b""), "no backup of iotq"),
    ] {
        refused(&tool("restore", &file, &target), why);
        assert!(!target.join("engine").exists() && !target.join("restoring").exists(), "{why}");
    }
    // A restore that was killed: not to be served, begun again it comes to its end.
    fs::create_dir_all(target.join("engine")).unwrap();
    fs::write(target.join("restoring"), "").unwrap();
    let mut serve = Command::new(program("iotq-analyzer"));
    serve.args(["serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"]).arg(&target);
    let served = run(&mut serve, PATIENCE);
    served.assert_code(1);
    assert!(format!("{}{}", served.stdout, served.stderr).contains("did not come to its end"), "{}", served.stderr);
    tool("restore", &file, &target).assert_code(0);
    assert!(target.join("engine").exists() && !target.join("restoring").exists());
}

#[test]
fn a_forgotten_device_is_in_no_answer_and_the_others_are_as_before() {
    if !has_engine() {
        return;
    }
    let (analyzer, _folder) = house();
    let devices = all(&analyzer, "devices");
    let kindle = devices.iter().find(|row| row["name"] == "Kindle").unwrap();
    let (id, ip) = (kindle["device"].as_str().unwrap(), kindle["ips"][0].as_str().unwrap());
    let before = answers(&analyzer);

    // Nothing goes without being meant.
    let unmeant = analyzer.try_ask(["forget", "--device", "Kindle"]);
    refused(&unmeant, "--yes");
    analyzer.try_ask(["forget", "--yes"]).assert_code(2);
    analyzer.try_ask(["forget", "--device", "Kindle", "--since", "1h", "--yes"]).assert_code(2);
    analyzer.try_ask(["forget", "--device", "Kindle", "--dry-run"]).assert_code(0);
    assert_eq!(answers(&analyzer), before);

    analyzer.try_ask(["forget", "--device", "Kindle", "--yes"]).assert_code(0);
    let after = answers(&analyzer);
    for (question, rows) in &after {
        let text = serde_json::to_string(rows).unwrap();
        for trace in [id, ip, "\"Kindle\""] {
            assert!(!text.contains(&format!("\"{}\"", trace.trim_matches('"'))), "{question} has {trace}: {text}");
        }
    }
    let of = |answers: &[(&str, Vec<Value>)], question: &str| -> Vec<Value> {
        answers.iter().find(|(name, _)| *name == question).unwrap().1.clone()
    };
    // Whoever exchanged nothing with it keeps every packet, and every name.
    let partners: Vec<String> = of(&before, "conversations")
        .iter()
        .filter(|row| row["a_ip"] == ip || row["b_ip"] == ip)
        .flat_map(|row| [row["a_ip"].to_string(), row["b_ip"].to_string()])
        .collect();
    let kept = of(&after, "devices");
    let mut compared = 0;
    for device in of(&before, "devices") {
        let ips = device["ips"].as_array().unwrap();
        if device["device"] == id || ips.iter().any(|ip| partners.contains(&ip.to_string())) {
            continue;
        }
        assert!(kept.contains(&device), "{device}");
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
    // What others were called because it had asked for them may have no name any more.
    let packets = |rows: &[Value]| -> Vec<String> {
        let others = rows.iter().filter(|row| row["src_ip"] != ip && row["dst_ip"] != ip && row["device"] != id);
        let wire = ["captured_at", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "wire_bytes", "device"];
        let mut packets: Vec<_> = others.map(|row| wire.map(|field| row[field].to_string()).join(" ")).collect();
        packets.sort();
        packets
    };
    assert_eq!(packets(&of(&before, "packets")), packets(&of(&after, "packets")));
    // Asked by finer and coarser sums.
    let sum = |rows: &[Value]| rows.iter().map(|row| row["packets"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum(&analyzer.rows(["timeline", "--since", "all"])), of(&after, "packets").len() as u64);
}

#[test]
fn a_forgotten_stretch_is_in_no_answer_and_what_is_around_it_stays() {
    if !has_engine() {
        return;
    }
    let (analyzer, _folder) = house();
    let time = |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).unwrap().to_string();
    let (from, until) = (SPAN.since_ns + 20 * MINUTE_NS, SPAN.since_ns + 33 * MINUTE_NS);
    let packets = all(&analyzer, "packets");
    let stays = |row: &&Value| {
        let at: jiff::Timestamp = row["captured_at"].as_str().unwrap().parse().unwrap();
        !(from..until).contains(&i64::try_from(at.as_nanosecond()).unwrap())
    };
    let outside: Vec<Value> = packets.iter().filter(stays).cloned().collect();
    assert!(outside.len() < packets.len());

    // Within minutes: widened to whole ones.
    let (since, to) = (time(from + 7_000_000_000), time(until - 7_000_000_000));
    let done = analyzer.ask(["forget", "--yes", "--since", since.as_str(), "--until", to.as_str()]);
    assert_eq!(
        (&done["since"], &done["until"]),
        (&Value::from(time(from).replace('Z', ".000000000Z")), &Value::from(time(until).replace('Z', ".000000000Z")))
    );
    assert_eq!(all(&analyzer, "packets"), outside);
    let sum = |rows: Vec<Value>| rows.iter().map(|row| row["packets"].as_u64().unwrap()).sum::<u64>();
    // The hours' and days' sums, and the minutes'.
    assert_eq!(sum(analyzer.rows(["timeline", "--since", "all"])), outside.len() as u64);
    let (since, to) = (time(from), time(until));
    let within = |question: &'static str| analyzer.rows([question, "--since", since.as_str(), "--until", to.as_str()]);
    for question in ["top-talkers", "conversations", "dns", "tls", "time-servers", "packets"] {
        assert_eq!(within(question), Vec::<Value>::new(), "{question}");
    }
    let at = |row: &Value, name: &str| -> i64 {
        let at: jiff::Timestamp = row[name].as_str().unwrap().parse().unwrap();
        i64::try_from(at.as_nanosecond()).unwrap()
    };
    for row in all(&analyzer, "connections") {
        assert!(!(from..until).contains(&at(&row, "started_at")), "{row}");
    }
    for row in all(&analyzer, "devices") {
        assert!(
            !(from..until).contains(&at(&row, "first_seen_at")) && !(from..until).contains(&at(&row, "last_seen_at")),
            "{row}"
        );
    }
}

#[test]
fn an_export_has_what_the_question_has() {
    if !has_engine() {
        return;
    }
    let (mut analyzer, folder) = house();
    let packets = all(&analyzer, "packets");
    let bytes = |rows: &[Value]| rows.iter().map(|row| row["wire_bytes"].as_u64().unwrap()).sum::<u64>();

    let lines = analyzer.try_ask(["export", "packets", "--since", "all", "--format", "jsonl"]);
    lines.assert_code(0);
    let rows: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), bytes(&rows)), (packets.len(), bytes(&packets)));
    for (row, packet) in rows.iter().zip(&packets) {
        assert_eq!(row["captured_at"], packet["captured_at"]);
    }
    let file = folder.path().join("kindle.csv");
    let name = file.to_str().unwrap();
    analyzer.try_ask(["export", "packets", "--since", "all", "--device", "Kindle", "-o", name]).assert_code(0);
    let text = fs::read_to_string(&file).unwrap();
    let of_kindle = analyzer.rows(["packets", "--since", "all", "--device", "Kindle"]);
    assert_eq!(text.lines().count(), of_kindle.len() + 1);
    assert!(text.starts_with("\"captured_at\",\"collector\",\"src_ip\",\"src_port\""), "{text}");
    // What is not there is empty, as in answers.
    assert!(text.contains(",,") && !text.contains("\\N"), "{text}");
    refused(&analyzer.try_ask(["export", "packets", "--since", "all", "-o", name]), "--force");
    // A format for questions, as IOTQ_FORMAT may have, does not stand against the file's name.
    let json = ["export", "dns", "--since", "all", "--format", "json", "-o"];
    let file = folder.path().join("dns.csv");
    analyzer.try_ask(json.into_iter().chain([file.to_str().unwrap()])).assert_code(0);
    assert!(fs::read_to_string(&file).unwrap().starts_with("\"asked_at\","));
    analyzer.try_ask(json.into_iter().chain(["-"])).assert_code(2);
    analyzer.try_ask(["export", "dns", "-o", folder.path().join("dns.txt").to_str().unwrap()]).assert_code(2);

    for table in ["slices", "connections", "dns", "tls", "time-requests", "batches"] {
        let rows = |format: &str| {
            let done = analyzer.try_ask(["export", table, "--since", "all", "--format", format]);
            done.assert_code(0);
            done.stdout.lines().count()
        };
        let (csv, jsonl) = (rows("csv"), rows("jsonl"));
        assert!(jsonl > 0 && csv == jsonl + 1, "{table}: {csv} {jsonl}");
        let file = folder.path().join(format!("{table}.parquet"));
        analyzer.try_ask(["export", table, "--since", "all", "-o", file.to_str().unwrap()]).assert_code(0);
        let octets = fs::read(&file).unwrap();
        assert!(octets.starts_with(b"PAR1") && octets.ends_with(b"PAR1"), "{table}");
    }
    analyzer.try_ask(["packets", "--format", "parquet"]).assert_code(2);
    // Without an analyzer there is no file, nor half of one.
    analyzer.stop().assert_code(0);
    let file = folder.path().join("none.parquet");
    analyzer.try_ask(["export", "packets", "-o", file.to_str().unwrap()]).assert_code(1);
    assert_eq!(
        fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("none") })
            .count(),
        0
    );
}

#[test]
fn every_frame_of_every_capture_is_accounted_for_in_the_store() {
    let Some(folder) = captures() else { return };
    if !has_engine() {
        return;
    }
    let analyzer = Analyzer::start(Setup::default());
    for file in [
        "dns-home.pcap",
        "malformed-dns.pcap",
        "vlan-qinq.pcap",
        "trunc-ip-header.pcap",
        "sll2.pcap",
        "ipv4-fragments.pcap",
    ] {
        let done = replay(&analyzer.url(), &[folder.join(file)], &["--name", file]);
        done.assert_balanced();
        let status = analyzer.status_of(file).unwrap();
        let count = |name: &str| status[name].as_u64().unwrap();
        assert_eq!(count("frames"), done.count("frames"), "{file}");
        assert_eq!(
            count("frames"),
            count("stored_packets") + count("no_ip") + count("undecoded") + count("lost_packets"),
            "{file}: {status}"
        );
        // The counters say what is in the tables.
        let stored = analyzer.rows(["packets", "--since", "all", "--collector", file]).len() as u64;
        assert_eq!(stored, count("stored_packets"), "{file}");
        let summed: u64 = analyzer
            .rows(["conversations", "--since", "all", "--collector", file])
            .iter()
            .map(|row| row["a_packets"].as_u64().unwrap() + row["b_packets"].as_u64().unwrap())
            .sum();
        assert_eq!(summed, stored, "{file}");
    }
}
