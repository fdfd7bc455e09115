//! `iotq-collector doctor`, on mirrors of every kind, good and bad.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does: by a panic")]

use std::{collections::HashSet, path::Path};

use iotq_tests::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    scenario::{MINUTE_NS, Span, household},
    system::{
        Analyzer, Finished, Namespace, PATIENCE, Process, Setup, can_capture, eventually, has_engine, program, run,
    },
};
use serde_json::Value;

const SINCE_NS: i64 = 1_790_000_000_000_000_000;

/// Frames of the household between others: unicast over IPv4, both directions, each once.
fn conversations() -> Vec<Vec<u8>> {
    let scenario = household(Span { since_ns: SINCE_NS, until_ns: SINCE_NS + 60 * MINUTE_NS }, 1);
    let unicast = scenario.frames.into_iter().map(|frame| frame.octets);
    let unicast = unicast.filter(|octets| octets[0] & 1 == 0 && octets[12..14] == [8, 0]);
    // Sent within seconds, what is repeated after a while would look doubled.
    let mut seen = HashSet::new();
    unicast.filter(|octets| seen.insert(octets.clone())).take(300).collect()
}

/// Whether one of the household's devices sent it.
fn is_outbound(octets: &[u8]) -> bool {
    octets[26..28] == [192, 168]
}

fn with_tag(octets: &[u8], vlan: u8) -> Vec<u8> {
    [&octets[..12], &[0x81, 0, 0, vlan], &octets[12..]].concat()
}

/// What a file says inside the namespace.
fn read_in(namespace: &Namespace, file: &str) -> String {
    let mut command = namespace.command(Path::new("cat"));
    run(command.arg(file), PATIENCE).stdout.trim().to_owned()
}

/// Whether a packet socket receives in it: `/proc/net/packet` says 1 under `R` from the moment that it is bound, some
/// milliseconds after it has made the interface promiscuous, when its ring is made (libpcap, `pcap-linux.c`).
fn is_listened_in(namespace: &Namespace) -> bool {
    // sk RefCnt Type Proto Iface R Rmem User Inode
    let sockets = read_in(namespace, "/proc/net/packet");
    sockets.lines().skip(1).any(|socket| socket.split_whitespace().nth(5) == Some("1"))
}

struct Examined {
    finished: Finished,
    report: Value,
}

impl Examined {
    fn check(&self, name: &str) -> (&str, String) {
        let checks = self.report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no check {name}"));
        (check["verdict"].as_str().unwrap(), check.to_string())
    }

    #[track_caller]
    fn assert(&self, name: &str, verdict: &str, word: &str) {
        let (found, text) = self.check(name);
        assert!(found == verdict && text.contains(word), "{name} is to be {verdict} with `{word}`: {}", self.report);
    }
}

/// Has a doctor listen while frames are sent, at so many a second.
fn examine(namespace: &Namespace, frames: &[Vec<u8>], per_second: u32, flags: &[&str]) -> Examined {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("frames.pcap");
    let mut writer = PcapWriter::new(Vec::new(), ETHERNET, Precision::Micro, ByteOrder::Little).unwrap();
    for frame in frames {
        writer.write(SINCE_NS, frame).unwrap();
    }
    std::fs::write(&capture, writer.finish().unwrap()).unwrap();
    let mut command = namespace.command(&program("iotq-collector"));
    command.args(["doctor", "-i", Namespace::MIRROR, "-d", "8", "--format", "json"]).args(flags);
    let mut process = Process::start(&mut command);
    eventually("the doctor listens", || {
        assert!(process.is_running(), "{}", process.stderr());
        is_listened_in(namespace).then_some(())
    });
    if !frames.is_empty() {
        namespace.send(&capture, per_second);
    }
    let finished = process.wait(PATIENCE);
    let report = serde_json::from_str(finished.stdout.trim()).unwrap_or_else(|_| panic!("{finished:?}"));
    Examined { finished, report }
}

/// Nobody listens there.
const NOWHERE: &[&str] = &["--analyzer", "http://127.0.0.1:9"];

#[test]
fn a_good_mirror_is_found_good_and_its_clock_right() {
    if !can_capture() || !has_engine() {
        return;
    }
    let namespace = Namespace::new();
    let analyzer = Analyzer::start(Setup { names: None, namespace: Some(namespace.clone()), ..Setup::default() });
    let examined = examine(&namespace, &conversations(), 80, &["--analyzer", &analyzer.url(), "--name", "attic"]);
    examined.finished.assert_code(0);
    for name in [
        "link",
        "promiscuous",
        "traffic",
        "foreign_unicast",
        "both_directions",
        "vlans",
        "doubles",
        "drops",
        "offloads",
        "clock",
    ] {
        examined.assert(name, "ok", "");
    }
    assert_eq!(examined.report["tallied"]["foreign"], 300, "{}", examined.report);
    // It has asked for the time and left nothing behind.
    assert!(analyzer.status_of("attic").is_none(), "{}", analyzer.status());
}

#[test]
fn a_mirror_of_one_direction_is_found() {
    if !can_capture() {
        return;
    }
    // What goes to the router: conversations within the house would be whole.
    let is_leaving = |octets: &Vec<u8>| is_outbound(octets) && octets[30..32] != [192, 168];
    let frames: Vec<_> = conversations().into_iter().filter(is_leaving).collect();
    let examined = examine(&Namespace::new(), &frames, 80, NOWHERE);
    examined.finished.assert_code(1);
    examined.assert("foreign_unicast", "ok", "");
    examined.assert("both_directions", "fail", "rx and tx");
    examined.assert("clock", "unknown", "127.0.0.1:9");
}

#[test]
fn a_mirror_that_doubles_frames_is_found() {
    if !can_capture() {
        return;
    }
    let frames: Vec<_> = conversations().into_iter().flat_map(|octets| [octets.clone(), octets]).collect();
    let examined = examine(&Namespace::new(), &frames, 2000, NOWHERE);
    examined.finished.assert_code(1);
    examined.assert("doubles", "fail", "mirror each frame once");
    examined.assert("both_directions", "ok", "");
}

#[test]
fn tags_are_seen_and_those_of_one_direction_noticed() {
    if !can_capture() {
        return;
    }
    let namespace = Namespace::new();
    let tagged: Vec<_> = conversations().iter().map(|octets| with_tag(octets, 10)).collect();
    let examined = examine(&namespace, &tagged, 80, NOWHERE);
    examined.finished.assert_code(0);
    examined.assert("vlans", "ok", "VLAN 10");
    examined.assert("both_directions", "ok", "");
    let half = |octets: &Vec<u8>| if is_outbound(octets) { with_tag(octets, 10) } else { octets.clone() };
    let examined = examine(&namespace, &conversations().iter().map(half).collect::<Vec<_>>(), 80, NOWHERE);
    examined.finished.assert_code(0);
    examined.assert("vlans", "warn", "one direction only");
}

#[test]
fn silence_and_an_ordinary_port_are_found() {
    if !can_capture() {
        return;
    }
    let namespace = Namespace::new();
    let examined = examine(&namespace, &[], 0, NOWHERE);
    examined.finished.assert_code(1);
    examined.assert("traffic", "fail", "nothing arrived");
    for name in ["foreign_unicast", "both_directions", "vlans", "doubles", "offloads", "clock"] {
        examined.assert(name, "unknown", "");
    }

    // To this host and to everybody, as any port shows it.
    let address = read_in(&namespace, &format!("/sys/class/net/{}/address", Namespace::MIRROR));
    let mac: Vec<u8> = address.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    let to = |mac: &[u8], octets: &Vec<u8>| [mac, &octets[6..]].concat();
    let frames = conversations();
    let mine = frames.iter().take(40).map(|octets| to(&mac, octets));
    let everybodys = frames.iter().take(20).map(|octets| to(&[0xff; 6], octets));
    let examined = examine(&namespace, &mine.chain(everybodys).collect::<Vec<_>>(), 80, NOWHERE);
    examined.finished.assert_code(1);
    examined.assert("traffic", "ok", "20 broadcast or multicast, 40 this host's own");
    examined.assert("foreign_unicast", "fail", "ordinary port");
}

#[test]
fn the_answer_for_people_has_a_line_a_check() {
    if !can_capture() {
        return;
    }
    let namespace = Namespace::new();
    let mut command = namespace.command(&program("iotq-collector"));
    let finished = run(command.args(["doctor", "-i", Namespace::MIRROR, "-d", "1"]).args(NOWHERE), PATIENCE);
    finished.assert_code(1);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{}", finished.stdout);
    assert!(lines[2].starts_with("fail     traffic          nothing arrived in 1 s; see that"), "{}", finished.stdout);
    let mut command = namespace.command(&program("iotq-collector"));
    let finished = run(command.args(["doctor", "-i", "nosuch0"]), PATIENCE);
    finished.assert_code(1);
    assert!(finished.stderr.contains("nosuch0"), "{}", finished.stderr);
}
