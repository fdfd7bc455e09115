//! `unanswered`: whom devices call without an answer.
//!
//! An attempt is a five-tuple and sequence number with SYNs to which no TCP segment
//! came back, or a UDP conversation to the port of a service that answers each
//! request, with nothing back (`analyzer/sql/unanswered.sql`). Attempts of a device
//! to one name and port are one row, whatever the addresses of that name.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv6Addr,
};

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces, octets, sides::device_of};
use crate::{enrich::DeviceKey, findings::median_interval_secs, store::UnansweredRow};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let mut found = BTreeMap::<Key, Found>::new();
    let (one_sided, rows): (Vec<_>, Vec<_>) =
        analyst.store.unanswered(&asked.scope, BACK_NS).await?.into_iter().partition(|row| row.one_sided > 0);
    let one_sided: HashSet<_> = one_sided.iter().map(originator).collect();
    for row in rows.into_iter().filter(|row| row.protocol != UDP || !one_sided.contains(&originator(row))) {
        let device = device_of(&asked.directory, &row.collector, row.vlan_id, row.orig_mac, row.orig_ip);
        let peer = analyst.peer_naming(asked, device, asked.device_at(row.resp_ip), row.resp_ip);
        let who = match device {
            Some(_) => String::new(),
            None => row.orig_ip.to_string(),
        };
        let whom = if peer.name.is_empty() { row.resp_ip.to_string() } else { peer.name.clone() };
        let key = Key { device, who, whom, port: row.resp_port, protocol: row.protocol };
        let told = device.is_some_and(|key| asked.peers.was_told(key, row.resp_ip, row.first_at_ns));
        let found = found.entry(key).or_default();
        found.add(row, told);
        (found.peer_name, found.name_source) = (peer.name, peer.source);
    }
    let mut rows: Vec<_> = found.into_iter().map(|(key, found)| unanswered(analyst, asked, &key, found)).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse((row.attempts, row.refused)), row.first_at_ns));
    let mut pieces = Pieces::new(out, asked.scope.limit, |unanswered| v1::Rows { unanswered, ..v1::Rows::default() });
    for row in rows {
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}

/// Who calls, as a collector saw it.
fn originator(row: &UnansweredRow) -> (&str, u64, Ipv6Addr) {
    (&row.collector, row.orig_mac, row.orig_ip)
}

/// What makes one row.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    device: Option<DeviceKey>,
    /// The originator's address, where it is no device.
    who: String,
    /// Name, else address.
    whom: String,
    port: u16,
    protocol: u8,
}

#[derive(Debug, Default)]
struct Found {
    /// Of the address tried last.
    last: Option<UnansweredRow>,
    peer_name: String,
    name_source: &'static str,
    attempts: u64,
    syns: u64,
    refused: u64,
    unreachable: u64,
    attempts_at_ns: Vec<i64>,
    first_at_ns: Option<i64>,
    since_at_ns: Option<i64>,
    asked_dns: bool,
}

impl Found {
    fn add(&mut self, mut row: UnansweredRow, told: bool) {
        self.attempts += row.attempts;
        self.syns += row.syns;
        self.refused += row.refused;
        self.unreachable += row.unreachable;
        self.attempts_at_ns.append(&mut row.attempts_at_ns);
        self.first_at_ns = Some(self.first_at_ns.map_or(row.first_at_ns, |first| first.min(row.first_at_ns)));
        self.since_at_ns = Some(self.since_at_ns.map_or(row.since_at_ns, |since| since.min(row.since_at_ns)));
        self.asked_dns |= told;
        if self.last.as_ref().is_none_or(|last| last.last_at_ns <= row.last_at_ns) {
            self.last = Some(row);
        }
    }
}

fn unanswered(analyst: &Analyst, asked: &Asked, key: &Key, mut found: Found) -> v1::Unanswered {
    let (device, device_name) = analyst.id_and_name(asked, key.device);
    let last = found.last;
    v1::Unanswered {
        device,
        device_name,
        peer_name: found.peer_name,
        name_source: found.name_source.to_owned(),
        peer_ip: last.as_ref().map(|row| octets(row.resp_ip)).unwrap_or_default(),
        peer_port: key.port.into(),
        protocol: key.protocol.into(),
        attempts: found.attempts,
        syns: found.syns,
        refused: found.refused,
        unreachable: found.unreachable,
        median_interval_secs: median_interval_secs(&mut found.attempts_at_ns),
        first_at_ns: found.first_at_ns.unwrap_or_default(),
        last_at_ns: last.as_ref().map_or(0, |row| row.last_at_ns),
        asked_dns: found.asked_dns,
        orig_ip: last.as_ref().map(|row| octets(row.orig_ip)).unwrap_or_default(),
        since_at_ns: found.since_at_ns.unwrap_or_default(),
    }
}

/// Protocol number (IANA).
const UDP: u8 = 17;
/// "Since when" looks back this far before the range: 30 days.
const BACK_NS: i64 = 30 * 86_400 * 1_000_000_000;
