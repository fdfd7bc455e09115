//! What tshark says about a capture: files made beside the captures.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The parts of an oracle file that speak of frames, addresses and flows.
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

    /// Segments by flags.
    ///
    /// # Errors
    /// If a key is no number.
    pub fn tcp_flags(&self) -> Result<BTreeMap<u16, u64>> {
        let parse = |key: &str| u16::from_str_radix(key.trim_start_matches("0x"), 16).context("flags are hex");
        self.tcp_flags.iter().map(|(key, count)| Ok((parse(key)?, *count))).collect()
    }
}
