//! What tshark says about a capture: files made beside the captures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// The parts of an oracle file that speak of frames, addresses, flows, names and silence.
#[derive(Clone, Debug, Deserialize)]
pub struct Oracle {
    /// The capture's name.
    pub file: String,
    /// 0, or 2 if tshark found the file cut short.
    pub tshark_exit: i32,
    /// Frames in the file.
    pub frames: u64,
    /// Frames with an IP header that tshark accepts.
    pub frames_ip: u64,
    /// Their octets on the wire.
    pub bytes_ip: u64,
    /// Frames whose IP header tshark refuses.
    pub frames_ip_header_bad: u64,
    /// Frames without IP, by tshark's name of what they carry instead.
    pub frames_no_ip_by_proto: BTreeMap<String, u64>,
    conv: Vec<Conversation>,
    /// Source, destination, protocol, destination port, frames, octets.
    flow: Vec<(IpAddr, IpAddr, String, Option<u16>, u64, u64)>,
    /// By address and minute: frames sent and received.
    pub minute: BTreeMap<IpAddr, BTreeMap<i64, (u64, u64)>>,
    /// Segments by flags, in hex.
    tcp_flags: BTreeMap<String, u64>,
    dns_questions: Vec<DnsQuestion>,
    dns_responses: Vec<DnsResponse>,
    tls: Vec<ClientHello>,
    /// By MAC, the names in DHCP.
    pub dhcp_hosts: BTreeMap<String, Vec<String>>,
    syn: Vec<Syns>,
    ntp: Ntp,
}

/// Of a list: time, client, server, name as on the wire, type, kind, frame and, inside
/// tunnels, more.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<Value>")]
struct DnsQuestion {
    client: IpAddr,
    server: IpAddr,
    qname: String,
    qtype: String,
    kind: String,
}

impl TryFrom<Vec<Value>> for DnsQuestion {
    type Error = serde_json::Error;

    fn try_from(fields: Vec<Value>) -> Result<Self, Self::Error> {
        let mut fields = fields.into_iter().skip(1).chain(std::iter::repeat(Value::Null));
        let mut next = || fields.next().unwrap_or_default();
        Ok(Self {
            client: serde_json::from_value(next())?,
            server: serde_json::from_value(next())?,
            qname: serde_json::from_value(next())?,
            qtype: serde_json::from_value(next())?,
            kind: serde_json::from_value(next())?,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
struct DnsResponse {
    kind: String,
    q: Vec<(String, String)>,
    rr: Vec<DnsRecord>,
}

/// Section, owner, type, data, time to live.
type DnsRecord = (String, String, String, Option<String>, Option<f64>);

#[derive(Clone, Debug, Deserialize)]
struct ClientHello {
    kind: String,
    client: IpAddr,
    server: IpAddr,
    port: u16,
    sni: Option<String>,
    version: String,
    alpn: Vec<String>,
    ja4: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Syns {
    src: IpAddr,
    dst: IpAddr,
    dport: u16,
    refused: u64,
    unanswered: u64,
    syn_unanswered: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Ntp {
    /// Client, server, requests.
    client: Vec<(IpAddr, IpAddr, u64)>,
}

/// a, b, frames, octets, frames from a, octets from a, first, last.
type Conversation = (IpAddr, IpAddr, u64, u64, u64, u64, f64, f64);

/// Frames and octets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Octets on the wire.
    pub wire_bytes: u64,
}

impl Count {
    /// Counts one more.
    pub fn add(&mut self, wire_bytes: u64) {
        self.packets += 1;
        self.wire_bytes += wire_bytes;
    }
}

/// Client, server, name in lower case, type, kind.
pub type Question = (IpAddr, IpAddr, String, String, String);

/// Client, server, port, transport, version, SNI, ALPN, JA4.
pub type Hello = (IpAddr, IpAddr, u16, String, String, Option<String>, Vec<String>, Option<String>);

/// Attempts and SYNs that nobody answered, and attempts that were refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Silence {
    /// Attempts without an answer.
    pub attempts: u64,
    /// Their SYNs.
    pub syns: u64,
    /// Attempts refused by RST.
    pub refused: u64,
}

/// Packets in one direction between two addresses to one port.
pub type DirectedFlow = (IpAddr, IpAddr, String, Option<u16>);

impl Oracle {
    /// Reads the oracle of each capture in a folder.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn all(captures: &Path) -> Result<Vec<(PathBuf, Self)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(captures.join("oracle"))? {
            let path = entry?.path();
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let oracle: Self = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            found.push((captures.join(&oracle.file), oracle));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// By pair of addresses, the lower one first: what it sent, what the other sent.
    #[must_use]
    pub fn conversations(&self) -> BTreeMap<(IpAddr, IpAddr), (Count, Count)> {
        let mut found = BTreeMap::new();
        for (a, b, packets, wire_bytes, from_a, from_a_bytes, _, _) in &self.conv {
            let from_a = Count { packets: *from_a, wire_bytes: *from_a_bytes };
            let from_b = Count { packets: packets - from_a.packets, wire_bytes: wire_bytes - from_a.wire_bytes };
            let (pair, sides) = if a <= b { ((*a, *b), (from_a, from_b)) } else { ((*b, *a), (from_b, from_a)) };
            found.insert(pair, sides);
        }
        found
    }

    /// With the protocols called as the contract does.
    #[must_use]
    pub fn directed_flows(&self) -> BTreeMap<DirectedFlow, Count> {
        let mut found: BTreeMap<_, Count> = BTreeMap::new();
        for (src, dst, protocol, port, packets, wire_bytes) in &self.flow {
            let protocol = match protocol.as_str() {
                "icmpv6" => "ipv6-icmp",
                "88" => "eigrp",
                other => other,
            };
            let count = found.entry((*src, *dst, protocol.to_owned(), *port)).or_default();
            count.packets += packets;
            count.wire_bytes += wire_bytes;
        }
        found
    }

    /// DNS questions and how often each was asked; those over TCP are `dns` too.
    #[must_use]
    pub fn questions(&self) -> BTreeMap<Question, u64> {
        let mut found = BTreeMap::new();
        for asked in &self.dns_questions {
            let kind = asked.kind.trim_end_matches("-tcp").to_owned();
            let key = (asked.client, asked.server, called(&asked.qname), asked.qtype.clone(), kind);
            *found.entry(key).or_default() += 1;
        }
        found
    }

    /// Names asked of DNS, with the addresses in the answers.
    #[must_use]
    pub fn answers(&self) -> BTreeSet<(String, IpAddr)> {
        let asked: BTreeSet<_> = self.dns_questions.iter().map(|asked| called(&asked.qname)).collect();
        let mut found = BTreeSet::new();
        for response in self.dns_responses.iter().filter(|response| response.kind.starts_with("dns")) {
            let Some((qname, _)) = response.q.first() else { continue };
            let addresses = response.rr.iter().filter(|record| record.0 == "an" && ["A", "AAAA"].contains(&&*record.2));
            let addresses = addresses.filter_map(|record| record.3.as_ref()?.parse().ok());
            found.extend(addresses.map(|ip| (called(qname), ip)));
        }
        found.retain(|(qname, _)| asked.contains(qname));
        found
    }

    /// `ClientHello`s and how often each was sent.
    #[must_use]
    pub fn hellos(&self) -> BTreeMap<Hello, u64> {
        let mut found = BTreeMap::new();
        for hello in &self.tls {
            let transport = if hello.kind == "quic" { "quic" } else { "tcp" };
            let key = (
                hello.client,
                hello.server,
                hello.port,
                transport.to_owned(),
                hello.version.clone(),
                hello.sni.as_deref().map(called),
                hello.alpn.clone(),
                hello.ja4.clone(),
            );
            *found.entry(key).or_default() += 1;
        }
        found
    }

    /// By originator, address and port: attempts that were not answered. One-sided
    /// captures are not in it.
    #[must_use]
    pub fn silence(&self) -> BTreeMap<(IpAddr, IpAddr, u16), Silence> {
        let silence = |it: &Syns| Silence { attempts: it.unanswered, syns: it.syn_unanswered, refused: it.refused };
        let all = self.syn.iter().map(|it| ((it.src, it.dst, it.dport), silence(it)));
        all.filter(|(_, silence)| *silence != Silence::default()).collect()
    }

    /// Requests to each time server.
    #[must_use]
    pub fn time_servers(&self) -> BTreeMap<IpAddr, u64> {
        let mut found = BTreeMap::new();
        for (_, server, requests) in &self.ntp.client {
            *found.entry(*server).or_default() += requests;
        }
        found
    }

    /// Segments by flags.
    ///
    /// # Errors
    /// If a key is no number.
    pub fn tcp_flags(&self) -> Result<BTreeMap<u16, u64>> {
        let parse = |key: &str| u16::from_str_radix(key.trim_start_matches("0x"), 16).context("flags are hex");
        self.tcp_flags.iter().map(|(key, count)| Ok((parse(key)?, *count))).collect()
    }
}

/// A name as the contract writes it: lower case, the root as a dot.
fn called(name: &str) -> String {
    if name == "<Root>" { ".".to_owned() } else { name.to_lowercase() }
}
