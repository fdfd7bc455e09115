//! Every shared capture, read and decoded, against what tshark says about it.
//!
//! `oracle/NAME.json` beside the captures holds tshark's answers. Where we differ
//! on purpose, [`REASONS`] says so; a reason that no longer applies fails too.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use iotq_collector::{
    capture::file::{FileInput, FileReader, OpenFileError},
    chunk::Chunk,
    packet::Packet,
};
use iotq_proto::{LinkProtocol, MacAddr, Timestamp, UndecodedReason, protocol_keyword};
use serde_json::Value;

/// File, what differs, why.
const REASONS: &[(&str, &str, &str)] = &[
    (
        "pcapng-mixed-endian-sections.pcapng",
        "minutes",
        "simple packet blocks have no time (draft-ietf-opsawg-pcapng, section 4.4): tshark leaves them out of its \
         minutes, we keep them at the time of the frame before",
    ),
    ("sll2.pcap", "protocols without IP", "EtherType 0x8035 is RARP (RFC 903), which tshark calls `arp` too"),
];

#[test]
fn shared_captures_agree_with_tshark() {
    let Some(captures) = captures() else { return };
    let mut files = 0;
    let mut differences = Vec::new();
    let mut reasons: Vec<_> = REASONS.to_vec();
    for entry in std::fs::read_dir(captures.join("oracle")).expect("the oracle can be listed") {
        let path = entry.expect("the oracle can be listed").path();
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let name = path.file_stem().expect("NAME.json").to_str().expect("UTF-8").to_owned();
        files += 1;
        for (what, detail) in differences_of(&captures.join(&name), &oracle) {
            let given = REASONS.iter().any(|(file, about, _)| *file == name && *about == what);
            reasons.retain(|(file, about, _)| *file != name || *about != what);
            if !given {
                differences.push(format!("{name}: {what}: {detail}"));
            }
        }
    }
    assert!(files > 40, "only {files} captures in {}", captures.display());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(reasons.is_empty(), "these reasons are not needed: {reasons:?}");
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

fn differences_of(path: &Path, oracle: &Value) -> Vec<(&'static str, String)> {
    let mut reader = match FileReader::open(&FileInput::from(path)) {
        Ok(reader) => reader,
        // The only other format there is.
        Err(OpenFileError::Format { .. }) if path.extension().is_some_and(|extension| extension == "snoop") => {
            return Vec::new();
        }
        Err(error) => return vec![("opening", error.to_string())],
    };
    let mut tally = Tally::default();
    let damaged = loop {
        match reader.read_chunk(1000) {
            Ok(Some(chunk)) => tally.add(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let mut differences = Differences::default();
    differences.compare("damage", &damaged, &(oracle["tshark_exit"] != 0));
    tally.compare(oracle, &mut differences);
    differences.0
}

#[derive(Default)]
struct Differences(Vec<(&'static str, String)>);

impl Differences {
    fn compare<T: Debug + PartialEq>(&mut self, what: &'static str, ours: &T, tsharks: &T) {
        if ours != tsharks {
            self.0.push((what, format!("ours {ours:?}, tshark's {tsharks:?}")));
        }
    }

    fn compare_maps<K: Debug + Ord, V: Debug + PartialEq>(
        &mut self,
        what: &'static str,
        ours: &BTreeMap<K, V>,
        tsharks: &BTreeMap<K, V>,
    ) {
        for key in ours.keys().chain(tsharks.keys().filter(|key| !ours.contains_key(key))) {
            let (ours, tsharks) = (ours.get(key), tsharks.get(key));
            if ours != tsharks {
                self.0.push((what, format!("{key:?}: ours {ours:?}, tshark's {tsharks:?}")));
            }
        }
    }
}

/// Packets and octets on the wire.
type Count = [u64; 2];
/// Source, destination, protocol, destination port.
type FlowName = (IpAddr, IpAddr, String, Option<u16>);

/// A capture, counted in the same ways as the oracle.
#[derive(Default)]
struct Tally {
    frames: u64,
    ip: Count,
    ip_header_bad: u64,
    no_ip: Count,
    no_ip_by_protocol: BTreeMap<u32, u64>,
    tagged: u64,
    first_and_last_at: Option<(Timestamp, Timestamp)>,
    addresses: BTreeMap<IpAddr, [u64; 4]>,
    macs: BTreeMap<MacAddr, Count>,
    conversations: BTreeMap<(IpAddr, IpAddr), (Count, Count)>,
    flows: BTreeMap<FlowName, Count>,
    minutes: BTreeMap<(IpAddr, i64), Count>,
    tcp_flags: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, chunk: &Chunk) {
        assert!(chunk.counts.lost.is_empty(), "nothing is lost from a file");
        for packet in &chunk.packets {
            self.add_packet(packet);
        }
        for ((protocol, _), count) in &chunk.counts.no_ip {
            self.frames += count.frames;
            add(&mut self.no_ip, [count.frames, count.wire_bytes]);
            *self.no_ip_by_protocol.entry(protocol.as_u32()).or_default() += count.frames;
        }
        for (reason, frames) in &chunk.counts.undecoded {
            self.frames += frames;
            match reason {
                UndecodedReason::LinkType | UndecodedReason::LinkHeader | UndecodedReason::LinkHeaderCut => {
                    self.no_ip[0] += frames;
                }
                _ => self.ip_header_bad += frames,
            }
        }
        if let Some(covered) = chunk.covered {
            let (first, last) = self.first_and_last_at.get_or_insert((covered.from_at, covered.last_at));
            (*first, *last) = ((*first).min(covered.from_at), (*last).max(covered.last_at));
        }
    }

    fn add_packet(&mut self, packet: &Packet) {
        let key = &packet.key;
        let ends = [(key.a_ip, key.a_port, key.a_mac), (key.b_ip, key.b_port, key.b_mac)];
        let [(src, _, src_mac), (dst, dst_port, _)] = if packet.from_a { ends } else { [ends[1], ends[0]] };
        let (src, dst) = (ip(src, key.ip_version), ip(dst, key.ip_version));
        let wire_bytes = u64::from(packet.wire_bytes);
        let count = [1, wire_bytes];

        self.frames += 1;
        add(&mut self.ip, count);
        self.tagged += u64::from(key.vlan.id().is_some());
        add(self.addresses.entry(src).or_default(), [1, wire_bytes, 0, 0]);
        add(self.addresses.entry(dst).or_default(), [0, 0, 1, wire_bytes]);
        // The zero MAC and no MAC are the same to us.
        if src_mac != MacAddr::NONE {
            add(self.macs.entry(src_mac).or_default(), count);
        }
        let conversation = self.conversations.entry((src.min(dst), src.max(dst))).or_default();
        add(if src <= dst { &mut conversation.0 } else { &mut conversation.1 }, count);
        let port = Some(dst_port).filter(|_| key.has_ports && [6, 17, 132].contains(&key.protocol));
        add(self.flows.entry((src, dst, protocol_keyword(key.protocol), port)).or_default(), count);
        let minute = packet.captured_at.second().div_euclid(60) * 60;
        add(self.minutes.entry((src, minute)).or_default(), [1, 0]);
        add(self.minutes.entry((dst, minute)).or_default(), [0, 1]);
        if packet.tcp_flags != Packet::NO_TCP_FLAGS {
            *self.tcp_flags.entry(format!("{:#05x}", packet.tcp_flags)).or_default() += 1;
        }
    }

    fn compare(&self, oracle: &Value, differences: &mut Differences) {
        let number = |field: &str| oracle[field].as_u64().expect("a number");
        let [frames, ip, ip_header_bad] = [number("frames"), number("frames_ip"), number("frames_ip_header_bad")];
        differences.compare("frames", &self.frames, &frames);
        differences.compare("IP frames", &self.ip, &[ip, number("bytes_ip")]);
        differences.compare("bad IP headers", &self.ip_header_bad, &ip_header_bad);
        differences.compare("frames without IP", &self.no_ip[0], &(frames - ip - ip_header_bad));
        if ip_header_bad == 0 {
            differences.compare("octets", &(self.ip[1] + self.no_ip[1]), &number("bytes"));
        }
        for (name, code) in [("arp", 0x0806), ("eapol", 0x888e)] {
            let ours = self.no_ip_by_protocol.get(&LinkProtocol::ether_type(code).as_u32());
            let tsharks = oracle["frames_no_ip_by_proto"][name].as_u64();
            differences.compare("protocols without IP", &ours.copied(), &tsharks);
        }
        // tshark counts tagged frames without IP too, and we do not tell them apart.
        let tagged = number("frames_vlan").saturating_sub(frames - ip)..=number("frames_vlan");
        if !tagged.contains(&self.tagged) {
            differences.compare("tagged frames", &self.tagged, &number("frames_vlan"));
        }
        let first_and_last_at = [&oracle["first_time"], &oracle["last_time"]].map(|time| {
            // As a number it is right to the microsecond only.
            let micros = time.as_f64().expect("a time") * 1e6;
            #[expect(clippy::cast_possible_truncation, reason = "saturates, as do our times")]
            let nanos = (micros.round() as i128).saturating_mul(1000);
            Timestamp::nearest(nanos).0.as_nanos() / 1000
        });
        let ours = self.first_and_last_at.map(|(first, last)| [first, last].map(|at| at.as_nanos() / 1000));
        let is_near = ours.is_some_and(|ours| ours.iter().zip(first_and_last_at).all(|(a, b)| (a - b).abs() <= 1));
        if !is_near {
            differences.compare("first and last time", &ours, &Some(first_and_last_at));
        }
        differences.compare_maps("addresses", &self.addresses, &tsharks_addresses(oracle));
        differences.compare_maps("MACs", &self.macs, &tsharks_macs(oracle));
        differences.compare_maps("conversations", &self.conversations, &tsharks_conversations(oracle));
        differences.compare_maps("flows", &self.flows, &tsharks_flows(oracle));
        differences.compare_maps("minutes", &self.minutes, &tsharks_minutes(oracle));
        differences.compare_maps("TCP flags", &self.tcp_flags, &tsharks_tcp_flags(oracle));
    }
}

fn tsharks_addresses(oracle: &Value) -> BTreeMap<IpAddr, [u64; 4]> {
    let counts = |counts: &Value| ["sp", "sb", "dp", "db"].map(|field| counts[field].as_u64().expect("a number"));
    members(&oracle["addr"]).map(|(ip, value)| (ip.parse().expect("an address"), counts(value))).collect()
}

fn tsharks_macs(oracle: &Value) -> BTreeMap<MacAddr, Count> {
    let counts = |counts: &Value| ["sp", "sb"].map(|field| counts[field].as_u64().expect("a number"));
    members(&oracle["mac"])
        .map(|(mac, value)| (mac.parse().expect("a MAC"), counts(value)))
        .filter(|(mac, _)| *mac != MacAddr::NONE)
        .collect()
}

/// Each is two addresses in the order of their text, packets and octets of both,
/// packets and octets sent by the first.
fn tsharks_conversations(oracle: &Value) -> BTreeMap<(IpAddr, IpAddr), (Count, Count)> {
    let mut conversations = BTreeMap::new();
    for entry in elements(&oracle["conv"]) {
        let [a, b] = [0, 1].map(|at| entry[at].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()).expect("an address"));
        let [packets, bytes, a_packets, a_bytes] = [2, 3, 4, 5].map(|at| entry[at].as_u64().expect("a number"));
        let (from_a, from_b) = ([a_packets, a_bytes], [packets - a_packets, bytes - a_bytes]);
        let sent = if a <= b { (from_a, from_b) } else { (from_b, from_a) };
        conversations.insert((a.min(b), a.max(b)), sent);
    }
    conversations
}

fn tsharks_flows(oracle: &Value) -> BTreeMap<FlowName, Count> {
    elements(&oracle["flow"])
        .map(|entry| {
            let [src, dst] =
                [0, 1].map(|at| entry[at].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()).expect("an address"));
            let protocol = match entry[2].as_str().expect("a protocol") {
                "icmpv6" => "ipv6-icmp".to_owned(),
                "88" => "eigrp".to_owned(),
                name => name.to_owned(),
            };
            let port = entry[3].as_u64().map(|port| u16::try_from(port).expect("a port"));
            ((src, dst, protocol, port), [4, 5].map(|at| entry[at].as_u64().expect("a number")))
        })
        .collect()
}

fn tsharks_minutes(oracle: &Value) -> BTreeMap<(IpAddr, i64), Count> {
    let mut minutes: BTreeMap<(IpAddr, i64), Count> = BTreeMap::new();
    for (ip, by_minute) in members(&oracle["minute"]) {
        for (minute, counts) in members(by_minute) {
            // What no store can hold is kept at the nearest that it can.
            let secs: i128 = minute.parse().expect("seconds");
            let minute = Timestamp::nearest(secs * 1_000_000_000).0.second().div_euclid(60) * 60;
            let counts = [0, 1].map(|at| counts[at].as_u64().expect("a number"));
            add(minutes.entry((ip.parse().expect("an address"), minute)).or_default(), counts);
        }
    }
    minutes
}

fn tsharks_tcp_flags(oracle: &Value) -> BTreeMap<String, u64> {
    members(&oracle["tcp_flags"]).map(|(flags, count)| (flags.clone(), count.as_u64().expect("a number"))).collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().expect("an object").iter()
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array").iter()
}

fn ip(octets: [u8; 16], version: u8) -> IpAddr {
    let [.., a, b, c, d] = octets;
    if version == 4 { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(octets).into() }
}

fn add<const N: usize>(to: &mut [u64; N], counts: [u64; N]) {
    for (to, count) in to.iter_mut().zip(counts) {
        *to += count;
    }
}
