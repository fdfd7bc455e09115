//! Attempts to connect in every shared capture, against what tshark says of them.
//!
//! `oracle/NAME.json` has them under `syn`: by source, destination and port the
//! SYNs, the attempts (a five-tuple and sequence number), and what became of them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use iotq_collector::{
    capture::file::{FileInput, FileReader, OpenFileError},
    chunk::Aims,
    window::Window,
};
use iotq_proto::{ConnState, address_of_version, v1};
use serde_json::Value;

/// Who asked whom, at which port.
type Asked = (IpAddr, IpAddr, u64);

/// What became of attempts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Attempts {
    syns: u64,
    attempts: u64,
    answered: u64,
    refused: u64,
    one_way: u64,
    unanswered: u64,
}

/// File, what differs, why.
const REASONS: &[(&str, &str)] = &[];

#[test]
fn attempts_are_those_that_tshark_finds() {
    let Some(captures) = captures() else { return };
    let mut differences = Vec::new();
    let mut reasons = REASONS.to_vec();
    let mut attempts = 0;
    for entry in std::fs::read_dir(captures.join("oracle")).expect("the oracle can be listed") {
        let path = entry.expect("the oracle can be listed").path();
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let name = path.file_stem().expect("NAME.json").to_str().expect("UTF-8").to_owned();
        let Some(connections) = connections_of(&captures.join(&name)) else { continue };
        let (ours, tsharks) = (ours(&connections), tsharks(&oracle));
        attempts += tsharks.values().map(|counts| counts.attempts).sum::<u64>();
        for key in ours.keys().chain(tsharks.keys().filter(|key| !ours.contains_key(key))) {
            let (ours, tsharks) = (ours.get(key), tsharks.get(key));
            if ours != tsharks {
                let given = REASONS.iter().any(|(file, _)| *file == name);
                reasons.retain(|(file, _)| *file != name);
                if !given {
                    differences.push(format!("{name}: {key:?}:\n  ours     {ours:?}\n  tshark's {tsharks:?}"));
                }
            }
        }
    }
    assert!(attempts > 600, "only {attempts} attempts in {}", captures.display());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(reasons.is_empty(), "these reasons are not needed: {reasons:?}");
}

#[test]
fn connections_have_all_packets_with_a_five_tuple() {
    let Some(captures) = captures() else { return };
    for entry in std::fs::read_dir(&captures).expect("captures can be listed") {
        let path = entry.expect("captures can be listed").path();
        let Some((batches, packets)) = batches_of(&path) else { continue };
        let updates = batches.iter().flat_map(|batch| &batch.connections);
        let counted: u64 = updates.map(|update| update.orig_packets + update.resp_packets).sum();
        assert_eq!(counted, packets, "{}", path.display());
    }
}

/// Where the captures are; `None`, with a message, if they are not here.
fn captures() -> Option<PathBuf> {
    let path = std::env::var_os("IOTQ_CAPTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "no captures in {}", path.display());
    eprintln!("skipped: no captures in {} (set IOTQ_CAPTURES)", path.display());
    None
}

/// All batches of a file up to its damage, and how many packets it has whose
/// ports are known or do not exist.
fn batches_of(path: &Path) -> Option<(Vec<v1::Batch>, u64)> {
    if path.is_dir() || path.extension().is_some_and(|extension| extension == "md") {
        return None;
    }
    let mut reader = match FileReader::open(&FileInput::from(path)) {
        Ok(reader) => reader,
        Err(OpenFileError::Format { .. }) => return None,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    let (mut window, mut sealed, mut packets) = (Window::new(Aims::default()), Vec::new(), 0);
    while let Ok(Some(chunk)) = reader.read_chunk(1000) {
        let has_five_tuple = |protocol| !matches!(protocol, 6 | 17 | 33 | 132 | 136);
        let keys = chunk.packets.iter().map(|packet| &packet.key);
        packets += keys.filter(|key| key.has_ports || has_five_tuple(key.protocol)).count() as u64;
        window.add(&chunk, &mut sealed);
    }
    sealed.extend(window.finish());
    Some((sealed, packets))
}

/// The last update of each connection, with the sums of all of them.
fn connections_of(path: &Path) -> Option<Vec<v1::ConnectionUpdate>> {
    let mut connections: BTreeMap<u64, v1::ConnectionUpdate> = BTreeMap::new();
    for update in batches_of(path)?.0.into_iter().flat_map(|batch| batch.connections) {
        let before = connections.get(&update.number).cloned().unwrap_or_default();
        assert_eq!(update.update, before.update + 1, "{}", path.display());
        assert_eq!(before.end, 0, "nothing comes after the end");
        let sums = v1::ConnectionUpdate {
            orig_packets: before.orig_packets + update.orig_packets,
            resp_packets: before.resp_packets + update.resp_packets,
            orig_syns: before.orig_syns + update.orig_syns,
            ..update
        };
        connections.insert(sums.number, sums);
    }
    assert!(connections.values().all(|connection| connection.end != 0), "all have ended with the file");
    Some(connections.into_values().collect())
}

fn ours(connections: &[v1::ConnectionUpdate]) -> BTreeMap<Asked, Attempts> {
    let mut sums: BTreeMap<Asked, Attempts> = BTreeMap::new();
    for connection in connections.iter().filter(|connection| connection.orig_syns > 0) {
        let [src, dst] = [&connection.orig_ip, &connection.resp_ip]
            .map(|ip| address_of_version(ip, connection.ip_version).expect("16 octets"));
        let sum = sums.entry((src, dst, connection.resp_port.into())).or_default();
        sum.syns += connection.orig_syns;
        sum.attempts += 1;
        *match (connection.state(), connection.resp_packets) {
            (ConnState::Rej, _) => &mut sum.refused,
            (_, 1..) => &mut sum.answered,
            (_, 0) if connection.only_syns => &mut sum.unanswered,
            (_, 0) => &mut sum.one_way,
        } += 1;
    }
    sums
}

fn tsharks(oracle: &Value) -> BTreeMap<Asked, Attempts> {
    let entries = oracle["syn"].as_array().map_or(&[][..], Vec::as_slice);
    let attempts = entries.iter().map(|entry| {
        let number = |field: &str| entry[field].as_u64().expect("a number");
        let [src, dst] = ["src", "dst"].map(|end| entry[end].as_str().expect("a text").parse().expect("an address"));
        let attempts = Attempts {
            syns: number("syn"),
            attempts: number("attempts"),
            answered: number("answered"),
            refused: number("refused"),
            one_way: number("one_way"),
            unanswered: number("unanswered"),
        };
        ((src, dst, number("dport")), attempts)
    });
    attempts.collect()
}
