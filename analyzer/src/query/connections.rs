//! `connections`: who opened them, how they went, which are open.

use iotq_proto::v1;

use clickhouse::query::RowCursor;

use super::{
    Analyst, AskError, Asked, Out, Pieces,
    keepalives::{GLANCE_PACKETS, MAX_FIVE_TUPLES, Periods},
    octets,
    sides::device_of,
    tell_in_time,
};
use crate::{
    clock::now_ns,
    store::{CollectorRow, ConnectionRow, ConnectionsFilter, Scope},
};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::ConnectionsQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let filter = ConnectionsFilter {
        only_open: question.open,
        states: question.states,
        longer_than_ns: i64::try_from(question.longer_than_ns).unwrap_or(i64::MAX),
    };
    if question.open {
        let scope = analyst.scope_of_open(asked).await?;
        return open(analyst, asked, analyst.store.connections(&scope, &filter)?, out).await;
    }
    let rows = analyst.store.connections(&asked.scope, &filter)?;
    out.header(asked).await?;
    tell_in_time(out, &asked.scope, rows, wrap, |row| connection(analyst, asked, row, &Periods::default())).await
}

impl Analyst {
    /// Where connections that are open at the end of the range had a packet: of a month it is its last two hours. What
    /// several collectors saw is put together first, and needs all of it.
    pub(super) async fn scope_of_open(&self, asked: &Asked) -> Result<Scope, AskError> {
        let mut scope = asked.scope.clone();
        if !scope.several_collectors {
            let heard_at = self.store.heard_at(&scope).await?;
            let since_ns = heard_at.map(|heard_at| heard_at.saturating_sub(LONGEST_SILENCE_NS));
            scope.range.since_ns = scope.range.since_ns.max(since_ns);
        }
        Ok(scope)
    }
}

/// Those that have held a hole in the firewall longest come first.
async fn open(analyst: &Analyst, asked: &Asked, mut rows: RowCursor<ConnectionRow>, out: &Out) -> Result<(), AskError> {
    let mut first = Vec::new();
    while first.len() <= MAX_FIVE_TUPLES
        && let Some(row) = rows.next().await?
    {
        first.push(row);
    }
    let mut notes = open_when(analyst, asked).await?;
    let periods = if first.is_empty() {
        out.header_with(asked, notes).await?;
        Periods::default()
    } else {
        let searched = analyst.searched(asked, GLANCE_PACKETS).await?;
        notes.extend(searched.note.clone());
        out.header_with(asked, notes).await?;
        let few = if first.len() > MAX_FIVE_TUPLES { &[] } else { first.as_slice() };
        analyst.periods(asked, &searched, few).await?
    };
    let mut pieces = Pieces::new(out, asked.scope.limit, wrap);
    for row in first {
        if !pieces.push(connection(analyst, asked, row, &periods)).await? {
            return pieces.end().await;
        }
    }
    pieces.push_all(rows, |row| connection(analyst, asked, row, &periods)).await
}

fn wrap(connections: Vec<v1::Connection>) -> v1::Rows {
    v1::Rows { connections, ..v1::Rows::default() }
}

/// What is open is known up to a collector's last packet: where that is long ago, it has to be said.
async fn open_when(analyst: &Analyst, asked: &Asked) -> Result<Vec<String>, AskError> {
    let until_ns = asked.scope.range.until_ns.unwrap_or_else(now_ns).min(now_ns());
    let rows = analyst.store.collectors(&asked.scope.collectors).await?;
    let heard = rows.iter().filter(|row| row.covered_until_at_ns != 0);
    let mut ended: Vec<_> = heard.filter(|row| row.covered_until_at_ns < until_ns.saturating_sub(QUIET_NS)).collect();
    ended.sort_by_key(|row| std::cmp::Reverse(row.covered_until_at_ns));
    let note = |row: &CollectorRow| {
        let at = jiff::Timestamp::from_nanosecond(row.covered_until_at_ns.into()).ok()?;
        Some(format!("of `{}` this is what was open at its last packet, {at:.0}", row.collector))
    };
    Ok(ended.into_iter().filter_map(note).take(NOTES).collect())
}

fn connection(analyst: &Analyst, asked: &Asked, row: ConnectionRow, periods: &Periods) -> v1::Connection {
    let keepalive_period_secs = periods.of(&row);
    let key = |mac, ip| device_of(&asked.directory, &row.collector, row.vlan_id, mac, ip);
    let (orig_key, resp_key) = (key(row.orig_mac, row.orig_ip), key(row.resp_mac, row.resp_ip));
    let orig = analyst.peer_naming(asked, resp_key, orig_key, row.orig_ip);
    let resp = analyst.peer_naming(asked, orig_key, resp_key, row.resp_ip);
    // What was said on the connection itself beats what is known of the address.
    let said = !row.server_name.is_empty() && resp_key.is_none() && resp.source != "user";
    let resp = if said { (row.server_name, row.server_name_source) } else { (resp.name, resp.source.to_owned()) };
    // The device is the originator, if it is one; else whom it reached.
    let (key, peer) = match (orig_key, resp_key) {
        (None, Some(key)) => (Some(key), (orig.name.clone(), orig.source.to_owned())),
        (key, _) => (key, resp.clone()),
    };
    let (device, device_name) = analyst.id_and_name(asked, key);
    let port = |port: u16| (row.has_ports == 1).then_some(u32::from(port));
    v1::Connection {
        keepalive_period_secs,
        orig_ip: octets(row.orig_ip),
        orig_port: port(row.orig_port),
        resp_ip: octets(row.resp_ip),
        resp_port: port(row.resp_port),
        ip_version: row.ip_version.into(),
        protocol: row.protocol.into(),
        state: row.state,
        started_at_ns: row.started_at_ns,
        ended_at_ns: (row.is_open == 0).then_some(row.last_at_ns),
        last_at_ns: row.last_at_ns,
        orig_packets: row.orig_packets,
        resp_packets: row.resp_packets,
        orig_wire_bytes: row.orig_wire_bytes,
        resp_wire_bytes: row.resp_wire_bytes,
        device,
        device_name,
        peer_name: peer.0,
        name_source: peer.1,
        orig_name: orig.name,
        resp_name: resp.0,
        history: row.history,
        service: row.service,
        orig_payload_bytes: row.orig_payload_bytes,
        resp_payload_bytes: row.resp_payload_bytes,
        orig_retransmitted: row.orig_retransmitted,
        resp_retransmitted: row.resp_retransmitted,
        handshake_rtt_ns: u64::try_from(row.handshake_rtt_ns).ok(),
        tls_version: row.tls_version.into(),
        end: if row.is_open == 1 { String::new() } else { row.end },
        collector: row.collector,
        also_seen_by: row.also_seen_by,
    }
}

/// That of TCP (RFC 5382), as in `sql/connections.sql`.
const LONGEST_SILENCE_NS: i64 = 7440 * 1_000_000_000;
/// A live collector is heard of each ten seconds; ended UDP connections take two minutes.
const QUIET_NS: i64 = 120_000_000_000;
/// The latest collectors that are told of.
const NOTES: usize = 3;
