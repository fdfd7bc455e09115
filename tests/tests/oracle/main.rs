//! Captures of other people's networks through the whole path, compared with what
//! tshark says about them: frame for frame and octet for octet.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

mod names;
mod zeek;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use iotq_tests::{
    oracle::{Count, DirectedFlow, Oracle},
    system::{Analyzer, Setup, captures, has_engine, replay},
};
use serde_json::Value;

use names::{hellos, questions, silence, time_servers, unnamed};

/// Where iotq and tshark differ, and who is right.
struct Difference {
    file: &'static str,
    what: What,
    /// Why; shown when the difference has gone.
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    /// The format is refused.
    Refused,
    /// The file is damaged, and everything before the damage is stored.
    Damaged,
    /// Times are not compared.
    Times,
    /// DNS questions are not compared.
    Questions,
    /// Time servers are not compared.
    TimeServers,
    /// Attempts without an answer are not compared.
    Silence,
    /// Names in DHCP are not compared.
    HostNames,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        file: "solaris.snoop",
        what: What::Refused,
        reason: "snoop (RFC 1761) is neither pcap nor pcapng, the formats that replay reads",
    },
    Difference {
        file: "file-cut-short.pcap",
        what: What::Damaged,
        reason: "the last record promises more octets than there are; tshark says so too, and exits with 2",
    },
    Difference {
        file: "pcapng-mixed-endian-sections.pcapng",
        what: What::Times,
        reason: "two packets are in Simple Packet Blocks, which have no time (pcapng, section 4.4): tshark shows none, \
                 iotq stores them at the time of the frame before",
    },
    Difference {
        file: "eth-sll-trunc.pcapng",
        what: What::Times,
        reason: "the year 586,524 is beyond what DateTime64(9) holds; packets are kept at the nearest time it can",
    },
    Difference {
        file: "eth-sll-trunc.pcapng",
        what: What::Silence,
        reason: "a SYN of 2015 has its SYN-ACK in 2061, says the file; time-outs run on packet time, so the attempt had \
                 ended unanswered by then, while tshark does not look at the time",
    },
    Difference {
        file: "ipv6-fragments-mdns.pcap",
        what: What::Questions,
        reason: "one message in seven fragments: tshark puts them together, the collector reads the questions that the \
                 first one holds (a fragment after it has no ports)",
    },
    Difference {
        file: "raw-ip46.pcap",
        what: What::HostNames,
        reason: "a name in two DHCPDISCOVERs from 0.0.0.0, on a link without MACs: there is no device to give it to",
    },
    Difference {
        file: "tunnels-gre.pcap",
        what: What::Questions,
        reason: "its questions are inside GRE, and names inside tunnels are not needed (CONTRACT, \"DNS\")",
    },
    Difference {
        file: "tunnels-gre.pcap",
        what: What::TimeServers,
        reason: "its NTP messages are inside GRE, where only the outermost addresses count",
    },
];

#[test]
fn every_capture_gives_what_tshark_says() {
    let Some(captures) = captures() else { return };
    if !has_engine() {
        return;
    }
    let analyzer = Analyzer::start(Setup::default());
    let oracles = Oracle::all(&captures).unwrap();
    assert!(oracles.len() >= 44, "{} captures", oracles.len());
    let mut failed = Vec::new();
    for (path, oracle) in &oracles {
        let wrong = compare(&analyzer, path, oracle);
        if !wrong.is_empty() {
            failed.push(format!("{}:\n  {}", oracle.file, wrong.join("\n  ")));
        }
    }
    assert!(failed.is_empty(), "{} of {} captures differ\n{}", failed.len(), oracles.len(), failed.join("\n"));
    sums_are_those_of_all_files(&analyzer, &oracles);
    let states = zeek::differing(&analyzer);
    assert!(states.is_empty(), "{}", states.join("\n"));
}

/// What is wrong, a line each.
fn compare(analyzer: &Analyzer, path: &Path, oracle: &Oracle) -> Vec<String> {
    let known = |what: What| DIFFERENCES.iter().any(|known| known.file == oracle.file && known.what == what);
    let mut wrong = Wrong::default();

    let done = replay(&analyzer.url(), &[path], &["--name", &oracle.file]);
    done.finished.assert_calm();
    let code = if known(What::Refused) || known(What::Damaged) { 1 } else { 0 };
    let found = done.finished.code();
    if found != Some(code) {
        wrong.0.push(format!("exit code {found:?}, expected {code}: {}", done.finished.stderr));
        return wrong.0;
    }
    if code == 1 && !done.finished.stderr.contains(&oracle.file) {
        wrong.0.push(format!("the message does not name the file: {}", done.finished.stderr));
    }
    done.assert_balanced();
    if known(What::Refused) {
        wrong.check("frames of a refused file", done.count("frames"), 0);
        return wrong.0;
    }
    let no_ip = oracle.frames - oracle.frames_ip - oracle.frames_ip_header_bad;
    wrong.check("summary: frames", done.count("frames"), oracle.frames);
    wrong.check("summary: stored_packets", done.count("stored_packets"), oracle.frames_ip);
    wrong.check("summary: no_ip", done.count("no_ip"), no_ip);
    wrong.check("summary: undecoded", done.count("undecoded"), oracle.frames_ip_header_bad);
    wrong.check("summary: lost", done.count("lost"), 0);

    let status = analyzer.status_of(&oracle.file).unwrap_or_default();
    let of_status = |field: &str| status[field].as_u64().unwrap_or(u64::MAX);
    wrong.check("status: frames", of_status("frames"), oracle.frames);
    wrong.check("status: stored_packets", of_status("stored_packets"), oracle.frames_ip);
    wrong.check("status: no_ip", of_status("no_ip"), no_ip);
    wrong.check("status: undecoded", of_status("undecoded"), oracle.frames_ip_header_bad);

    let conversations = conversations(analyzer, &oracle.file);
    let octets = conversations.values().map(|(a, b)| a.wire_bytes + b.wire_bytes).sum();
    wrong.check("conversations: octets", octets, oracle.bytes_ip);
    wrong.0.extend(differing("conversation", &conversations, &oracle.conversations()));

    let packets = Packets::of(analyzer, &oracle.file);
    wrong.0.extend(differing("flow", &packets.flows, &oracle.directed_flows()));
    wrong.0.extend(differing("flags", &packets.tcp_flags, &oracle.tcp_flags().unwrap()));
    if !known(What::Times) {
        wrong.0.extend(differing("minute", &packets.minutes, &minutes_of(oracle)));
    }
    let ask = |question: &str| analyzer.rows([question, "--since", "all", "--collector", &oracle.file]);
    if !known(What::Questions) {
        let (questions, answers) = questions(&ask("dns"));
        wrong.0.extend(differing("question", &questions, &oracle.questions()));
        wrong.0.extend(differing_sets("answer", &answers, &oracle.answers()));
    }
    wrong.0.extend(differing("hello", &hellos(&ask("tls")), &oracle.hellos()));
    if !known(What::Silence) {
        wrong.0.extend(differing("unanswered", &silence(&ask("unanswered")), &oracle.silence()));
    }
    if !known(What::TimeServers) {
        wrong.0.extend(differing("time server", &time_servers(&ask("time-servers")), &oracle.time_servers()));
    }
    if !known(What::HostNames) {
        wrong.0.extend(unnamed(&ask("devices"), oracle));
    }
    wrong.0
}

/// Lines about what is wrong.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn check(&mut self, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.0.push(format!("{what}: {found}, tshark says {expected}"));
        }
    }
}

fn conversations(analyzer: &Analyzer, collector: &str) -> BTreeMap<(IpAddr, IpAddr), (Count, Count)> {
    let mut found = BTreeMap::new();
    for row in analyzer.rows(["conversations", "--since", "all", "--collector", collector]) {
        let side = |packets: &str, octets: &str| Count {
            packets: row[packets].as_u64().unwrap(),
            wire_bytes: row[octets].as_u64().unwrap(),
        };
        let pair = (ip(&row["a_ip"]), ip(&row["b_ip"]));
        assert!(pair.0 <= pair.1, "a < b as addresses: {row}");
        found.insert(pair, (side("a_packets", "a_wire_bytes"), side("b_packets", "b_wire_bytes")));
    }
    found
}

/// What `iotq packets` says, counted.
#[derive(Default)]
struct Packets {
    flows: BTreeMap<DirectedFlow, Count>,
    tcp_flags: BTreeMap<u16, u64>,
    minutes: BTreeMap<(IpAddr, i64), (u64, u64)>,
}

impl Packets {
    fn of(analyzer: &Analyzer, collector: &str) -> Self {
        let finished = analyzer.try_ask(["packets", "--since", "all", "--collector", collector, "--format", "jsonl"]);
        finished.assert_code(0);
        let mut packets = Self::default();
        for line in finished.stdout.lines() {
            packets.count(&serde_json::from_str(line).unwrap());
        }
        packets
    }

    fn count(&mut self, row: &Value) {
        let (src, dst) = (ip(&row["src_ip"]), ip(&row["dst_ip"]));
        let protocol = row["protocol"].as_str().unwrap().to_owned();
        let port = row["dst_port"].as_u64().map(|port| u16::try_from(port).unwrap());
        self.flows.entry((src, dst, protocol, port)).or_default().add(row["wire_bytes"].as_u64().unwrap());
        if let Some(flags) = row["tcp_flags"].as_u64() {
            // tshark's nine flags; the other three are reserved (RFC 9293).
            *self.tcp_flags.entry(u16::try_from(flags).unwrap() & 0x1ff).or_default() += 1;
        }
        let at: jiff::Timestamp = row["captured_at"].as_str().unwrap().parse().unwrap();
        let minute = at.as_second().div_euclid(60) * 60;
        self.minutes.entry((src, minute)).or_default().0 += 1;
        self.minutes.entry((dst, minute)).or_default().1 += 1;
    }
}

fn minutes_of(oracle: &Oracle) -> BTreeMap<(IpAddr, i64), (u64, u64)> {
    let by_address = oracle.minute.iter();
    by_address.flat_map(|(ip, minutes)| minutes.iter().map(|(minute, counts)| ((*ip, *minute), *counts))).collect()
}

/// Entries that differ, a few of them.
fn differing<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) -> Vec<String> {
    let missing = expected.iter().filter(|(key, _)| !found.contains_key(key));
    let missing = missing.map(|(key, value)| format!("{what} {key:?} is missing: {value:?}"));
    let differs = found.iter().filter(|(key, value)| expected.get(key) != Some(value));
    let differs = differs.map(|(key, value)| format!("{what} {key:?}: {value:?}, tshark says {:?}", expected.get(key)));
    missing.chain(differs).take(8).collect()
}

/// Members that only one of two sets has, a few of them.
fn differing_sets<T: Ord + std::fmt::Debug>(what: &str, found: &BTreeSet<T>, expected: &BTreeSet<T>) -> Vec<String> {
    let missing = expected.difference(found).take(4).map(|it| format!("{what} {it:?} is missing"));
    let more = found.difference(expected).take(4).map(|it| format!("{what} {it:?} is not in tshark's"));
    missing.chain(more).collect()
}

/// Everything together, so that no file hides behind another.
fn sums_are_those_of_all_files(analyzer: &Analyzer, oracles: &[(std::path::PathBuf, Oracle)]) {
    let stored =
        |oracle: &&Oracle| !DIFFERENCES.iter().any(|known| known.file == oracle.file && known.what == What::Refused);
    let oracles: Vec<_> = oracles.iter().map(|(_, oracle)| oracle).filter(stored).collect();
    let status = analyzer.status();
    let sum = |field: &str| -> u64 {
        status["collectors"].as_array().unwrap().iter().map(|it| it[field].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("frames"), oracles.iter().map(|oracle| oracle.frames).sum::<u64>());
    assert_eq!(sum("stored_packets"), oracles.iter().map(|oracle| oracle.frames_ip).sum::<u64>());
}

#[test]
fn every_difference_is_of_a_capture_that_exists_and_has_a_reason() {
    let Some(captures) = captures() else { return };
    for difference in DIFFERENCES {
        assert!(captures.join(difference.file).is_file(), "{}: {}", difference.file, difference.reason);
        assert!(difference.reason.len() > 20);
    }
}

fn ip(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse().unwrap()
}
