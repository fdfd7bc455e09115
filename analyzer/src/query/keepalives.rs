//! `keepalives`: what devices repeat at regular intervals, within a connection or
//! by opening one again and again.
//!
//! How regular is regular enough is decided in [`crate::findings`]; here connections
//! are put to devices and peers, and what is one habit becomes one row.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv6Addr,
    panic::resume_unwind,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesOrdered};
use tokio::task::JoinHandle;

use iotq_proto::v1::{self, keepalive::Kind};

use super::{
    Analyst, AskError, Asked, Out, Pieces,
    naming::PeerNaming,
    octets,
    peers::is_outside,
    sides::{Wanted, device_of},
};
use crate::{
    enrich::DeviceKey,
    findings::{self, Beat, Start},
    store::{BeatsRow, ConnectionRow, ConnectionsFilter, FiveTuple, Scope, StartsRow},
};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::KeepalivesQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let most_packets = if question.most_packets == 0 { MOST_PACKETS } else { question.most_packets };
    let searched = analyst.searched(asked, most_packets).await?;
    let note = searched.note.as_ref().map(|note| format!("{note} (--until: earlier ones)"));
    out.header_with(asked, note.into_iter().collect()).await?;
    let mut rows = analyst.keepalives(asked, &searched).await?;
    rows.sort_by(|(one_device, one), (other_device, other)| {
        (one_device, &one.peer_name, one.first_at_ns).cmp(&(other_device, &other.peer_name, other.first_at_ns))
    });
    let mut pieces = Pieces::new(out, asked.scope.limit, |keepalives| v1::Rows { keepalives, ..v1::Rows::default() });
    for (_, row) in rows {
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}

/// The periods of connections that have one, by five-tuple.
#[derive(Debug, Default)]
pub(super) struct Periods(HashMap<FiveTuple, f64>);

/// A connection with a peer outside, and what is regular in it.
#[derive(Debug)]
pub(super) struct Rhythm {
    device: DeviceKey,
    peer_ip: Ipv6Addr,
    peer_port: u16,
    five_tuple: FiveTuple,
    found: Vec<findings::Keepalive>,
}

/// A connection with a peer outside.
struct Connection {
    device: DeviceKey,
    peer_ip: Ipv6Addr,
    peer_port: u16,
    five_tuple: FiveTuple,
    beats: Vec<Beat>,
}

/// Looks for rhythms beside the reading of what comes next, on as many cores as there are.
#[derive(Default)]
struct Search {
    next: Vec<Connection>,
    next_beats: usize,
    under_way: FuturesOrdered<JoinHandle<Vec<Rhythm>>>,
    rhythms: Vec<Rhythm>,
}

impl Search {
    async fn add(&mut self, connection: Connection) -> Result<(), AskError> {
        self.next_beats += connection.beats.len();
        self.next.push(connection);
        if self.next_beats >= BEATS_AT_ONCE {
            self.begin();
        }
        while self.under_way.len() > SEARCHES_AT_ONCE {
            self.take_one().await?;
        }
        Ok(())
    }

    /// In the order in which connections came.
    async fn end(mut self) -> Result<Vec<Rhythm>, AskError> {
        self.begin();
        while !self.under_way.is_empty() {
            self.take_one().await?;
        }
        Ok(self.rhythms)
    }

    fn begin(&mut self) {
        let connections = std::mem::take(&mut self.next);
        self.next_beats = 0;
        self.under_way.push_back(tokio::task::spawn_blocking(|| {
            connections.into_iter().filter_map(Connection::rhythm).collect()
        }));
    }

    async fn take_one(&mut self) -> Result<(), AskError> {
        match self.under_way.next().await {
            Some(Ok(mut rhythms)) => self.rhythms.append(&mut rhythms),
            Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            Some(Err(_)) => return Err(AskError::Stopping),
            None => {}
        }
        Ok(())
    }
}

impl Connection {
    fn rhythm(self) -> Option<Rhythm> {
        let Self { device, peer_ip, peer_port, five_tuple, beats } = self;
        let found = findings::within_connection(&beats);
        (!found.is_empty()).then_some(Rhythm { device, peer_ip, peer_port, five_tuple, found })
    }
}

/// The part of a range that is searched for rhythms within connections.
pub(super) struct Searched {
    scope: Scope,
    /// For the asker, if it is not all of the range.
    pub(super) note: Option<String>,
}

impl Periods {
    /// That of a connection.
    pub(super) fn of(&self, row: &ConnectionRow) -> Option<f64> {
        self.0.get(&five_tuple(row)).copied()
    }
}

impl Analyst {
    /// The newest part of a range, of about so many packets: a beat is an element of an array, and all of
    /// them have to be looked at.
    pub(super) async fn searched(&self, asked: &Asked, most_packets: u64) -> Result<Searched, AskError> {
        let mut scope = asked.scope.clone();
        let since = self.store.searched_since(&scope, most_packets).await?;
        let since_ns = since.map(|since| since.saturating_mul(1_000_000_000));
        let Some(since_ns) = since_ns.filter(|since_ns| scope.range.since_ns.is_none_or(|asked| asked < *since_ns))
        else {
            return Ok(Searched { scope, note: None });
        };
        scope.range.since_ns = Some(since_ns);
        let note = jiff::Timestamp::from_nanosecond(since_ns.into()).ok().map(|at| {
            format!(
                "there are more packets than the newest {} million that are searched for rhythms within \
                 connections: that was done from {at:.0} on",
                most_packets.div_ceil(1_000_000)
            )
        });
        Ok(Searched { scope, note })
    }

    /// The newest period of each of these connections that has one; of none given, of all.
    pub(super) async fn periods(
        &self,
        asked: &Asked,
        searched: &Searched,
        of: &[ConnectionRow],
    ) -> Result<Periods, AskError> {
        let five_tuples: Vec<_> = of.iter().map(five_tuple).collect();
        let rhythms = self.read_rhythms(asked, searched, &five_tuples).await?;
        let newest = |rhythm: &Rhythm| {
            let newest = rhythm.found.iter().max_by_key(|found| found.last_at_ns)?;
            Some((rhythm.five_tuple, newest.period_secs))
        };
        Ok(Periods(rhythms.iter().filter_map(newest).collect()))
    }

    /// Connections of devices asked for with a peer outside that have a rhythm. To find them takes longest of all that
    /// a report asks for, and it asks twice: they are kept until something else is stored.
    async fn rhythms(&self, asked: &Asked, searched: &Searched) -> Result<Arc<(Scope, Vec<Rhythm>)>, AskError> {
        let changes = self.registry.changes();
        if self.may_keep(&searched.scope)
            && let Some(known) = self.rhythms.find(changes, RHYTHMS_AGE)
            && known.0.is_about_the_same(&searched.scope)
        {
            return Ok(known);
        }
        let rhythms = Arc::new((searched.scope.clone(), self.read_rhythms(asked, searched, &[]).await?));
        self.rhythms.put(changes, &rhythms);
        Ok(rhythms)
    }

    /// The same of those given, or of all.
    async fn read_rhythms(
        &self,
        asked: &Asked,
        searched: &Searched,
        of: &[FiveTuple],
    ) -> Result<Vec<Rhythm>, AskError> {
        let wanted = Wanted::of(&searched.scope);
        let mut search = Search::default();
        let mut last = None;
        let mut rows = self.store.beats(&searched.scope, of, LEAST_BEATS, LEAST_SECS)?;
        while let Some(row) = rows.next().await? {
            let five_tuple = (row.a_ip, row.a_port, row.b_ip, row.b_port, row.protocol);
            // Of several collectors the one that saw most is first.
            if last.replace(five_tuple) == Some(five_tuple) {
                continue;
            }
            let are_outside = (is_outside(&asked.directory, row.a_ip), is_outside(&asked.directory, row.b_ip));
            let (mac, device_ip, peer_ip, peer_port) = match are_outside {
                (false, true) => (row.a_mac, row.a_ip, row.b_ip, row.b_port),
                (true, false) => (row.b_mac, row.b_ip, row.a_ip, row.a_port),
                _ => continue,
            };
            let device = device_of(&asked.directory, &row.collector, row.vlan_id, mac, device_ip);
            let Some(device) = device.filter(|device| wanted.has(*device)) else { continue };
            search.add(Connection { device, peer_ip, peer_port, five_tuple, beats: beats(&row) }).await?;
        }
        let mut rhythms = search.end().await?;
        rhythms.sort_by_key(|rhythm| rhythm.five_tuple);
        Ok(rhythms)
    }

    pub(super) async fn keepalives(
        &self,
        asked: &Asked,
        searched: &Searched,
    ) -> Result<Vec<(DeviceKey, v1::Keepalive)>, AskError> {
        let (within, across) = (self.within_connections(asked, searched), self.across_connections(asked));
        let (mut found, mut across) = tokio::try_join!(within, across)?;
        found.append(&mut across);
        Ok(found)
    }

    async fn within_connections(
        &self,
        asked: &Asked,
        searched: &Searched,
    ) -> Result<Vec<(DeviceKey, v1::Keepalive)>, AskError> {
        let (open, rhythms) = tokio::try_join!(self.open_connections(asked), self.rhythms(asked, searched))?;
        let mut habits = BTreeMap::<Who, Vec<v1::Keepalive>>::new();
        for rhythm in &rhythms.1 {
            let Rhythm { device, peer_ip, peer_port, five_tuple: tuple, ref found } = *rhythm;
            let open_name = open.get(&tuple);
            let mut peer = self.peer_naming(asked, Some(device), None, peer_ip);
            if let Some((name, source)) = open_name.and_then(Option::as_ref)
                && peer.source != "user"
            {
                (peer.name, peer.source) = (name.clone(), source);
            }
            let who = Who::new(device, tuple.4, peer_port, &peer, peer_ip);
            let same = habits.entry(who).or_default();
            for found in found {
                let mut row = self.keepalive(asked, device, &peer, peer_ip, found);
                (row.peer_port, row.protocol) = (Some(peer_port.into()), tuple.4.into());
                row.kind = Kind::WithinConnection.into();
                row.open = open.contains_key(&tuple);
                join(same, row);
            }
        }
        Ok(habits.into_iter().flat_map(|(who, rows)| rows.into_iter().map(move |row| (who.device, row))).collect())
    }

    async fn across_connections(&self, asked: &Asked) -> Result<Vec<(DeviceKey, v1::Keepalive)>, AskError> {
        struct Starts {
            device: DeviceKey,
            peer: PeerNaming,
            last: (i64, Ipv6Addr),
            port: u16,
            protocol: u8,
            starts: Vec<Start>,
        }
        let mut by_peer = BTreeMap::<Who, Starts>::new();
        let mut rows = self.store.starts(&asked.scope)?;
        while let Some(row) = rows.next().await? {
            let device = device_of(&asked.directory, &row.collector, row.vlan_id, row.orig_mac, row.orig_ip);
            let Some(device) = device.filter(|_| is_outside(&asked.directory, row.resp_ip)) else { continue };
            let peer = self.server_naming(asked, device, &row);
            let who = Who::new(device, row.protocol, row.resp_port, &peer, row.resp_ip);
            let same = by_peer.entry(who).or_insert_with(|| Starts {
                device,
                peer,
                last: (i64::MIN, row.resp_ip),
                port: row.resp_port,
                protocol: row.protocol,
                starts: Vec::new(),
            });
            same.last = same.last.max((row.last_at_ns, row.resp_ip));
            same.starts
                .extend(row.starts.iter().map(|(at_ns, wire_bytes)| Start { at_ns: *at_ns, wire_bytes: *wire_bytes }));
        }
        let mut keepalives = Vec::new();
        for same in by_peer.into_values() {
            for found in findings::across_connections(&same.starts) {
                let mut row = self.keepalive(asked, same.device, &same.peer, same.last.1, &found);
                (row.peer_port, row.protocol) = (Some(same.port.into()), same.protocol.into());
                row.kind = Kind::AcrossConnections.into();
                keepalives.push((same.device, row));
            }
        }
        Ok(keepalives)
    }

    /// Five-tuples open at the end of the range, with the name their client said.
    async fn open_connections(
        &self,
        asked: &Asked,
    ) -> Result<HashMap<FiveTuple, Option<(String, &'static str)>>, AskError> {
        let filter = ConnectionsFilter { only_open: true, states: Vec::new(), longer_than_ns: 0 };
        let mut scope = self.scope_of_open(asked).await?;
        scope.limit = 0;
        let mut rows = self.store.connections(&scope, &filter)?;
        let mut open = HashMap::new();
        while let Some(row) = rows.next().await? {
            let name = said_name(&row.server_name, &row.server_name_source);
            open.insert(five_tuple(&row), name);
        }
        Ok(open)
    }

    fn server_naming(&self, asked: &Asked, device: DeviceKey, row: &StartsRow) -> PeerNaming {
        let peer = self.peer_naming(asked, Some(device), None, row.resp_ip);
        match said_name(&row.server_name, &row.server_name_source) {
            Some((name, source)) if peer.source != "user" => {
                PeerNaming { name, source, last_at_ns: Some(row.last_at_ns) }
            }
            _ => peer,
        }
    }

    fn keepalive(
        &self,
        asked: &Asked,
        device: DeviceKey,
        peer: &PeerNaming,
        peer_ip: Ipv6Addr,
        found: &findings::Keepalive,
    ) -> v1::Keepalive {
        let (device, device_name) = self.id_and_name(asked, Some(device));
        v1::Keepalive {
            device,
            device_name,
            peer_name: peer.name.clone(),
            name_source: peer.source.to_owned(),
            peer_ip: octets(peer_ip),
            period_secs: found.period_secs,
            jitter_secs: found.jitter_secs,
            beats: found.beats,
            bytes_per_beat: found.bytes_per_beat,
            first_at_ns: found.first_at_ns,
            last_at_ns: found.last_at_ns,
            beacon_score: found.beacon_score,
            ..v1::Keepalive::default()
        }
    }
}

/// Whose habit it is, and with whom.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Who {
    device: DeviceKey,
    protocol: u8,
    port: u16,
    /// Name, else address.
    whom: String,
}

impl Who {
    fn new(device: DeviceKey, protocol: u8, port: u16, peer: &PeerNaming, ip: Ipv6Addr) -> Self {
        let whom = if peer.name.is_empty() { ip.to_string() } else { peer.name.clone() };
        Self { device, protocol, port, whom }
    }
}

/// A connection that takes over where another ended goes on with its habit: rows
/// with about the same period are one.
fn join(rows: &mut Vec<v1::Keepalive>, row: v1::Keepalive) {
    let about_the_same = |one: &v1::Keepalive| {
        let ratio = one.period_secs / row.period_secs;
        (1.0 / SAME_PERIOD..=SAME_PERIOD).contains(&ratio)
    };
    let Some(same) = rows.iter_mut().find(|one| about_the_same(one)) else {
        rows.push(row);
        return;
    };
    let (beats, open) = (same.beats + row.beats, same.open || row.open);
    let (first_at_ns, last_at_ns) = (same.first_at_ns.min(row.first_at_ns), same.last_at_ns.max(row.last_at_ns));
    let newest = if row.last_at_ns > same.last_at_ns { row.peer_ip.clone() } else { same.peer_ip.clone() };
    // Medians of the one that is known best.
    if row.beats > same.beats {
        *same = row;
    }
    (same.beats, same.open, same.first_at_ns, same.last_at_ns) = (beats, open, first_at_ns, last_at_ns);
    same.peer_ip = newest;
}

fn beats(row: &BeatsRow) -> Vec<Beat> {
    let times = row.seconds.iter().zip(&row.first_ns).zip(&row.last_ns);
    let sizes = row.packets.iter().zip(&row.overhead_bytes).zip(&row.wire_bytes);
    let at_ns = |second: i64, ns: u32| second.saturating_mul(1_000_000_000).saturating_add(ns.into());
    let beat = |(((&second, &first_ns), &last_ns), ((&packets, &overhead_bytes), &wire_bytes))| Beat {
        at_ns: at_ns(second, first_ns),
        end_ns: at_ns(second, last_ns),
        packets: u64::from(packets),
        payload_bytes: u64::from(u32::saturating_sub(wire_bytes, overhead_bytes)),
        wire_bytes: u64::from(wire_bytes),
    };
    times.zip(sizes).map(beat).collect()
}

fn five_tuple(row: &ConnectionRow) -> FiveTuple {
    let (orig, resp) = ((row.orig_ip, row.orig_port), (row.resp_ip, row.resp_port));
    let (a, b) = if orig <= resp { (orig, resp) } else { (resp, orig) };
    (a.0, a.1, b.0, b.1, row.protocol)
}

/// What the client said on the connection itself.
fn said_name(name: &str, source: &str) -> Option<(String, &'static str)> {
    let source = SAID.into_iter().find(|said| *said == source)?;
    (!name.is_empty()).then(|| (name.to_owned(), source))
}

const SAID: [&str; 3] = ["sni", "quic_sni", "http_host"];
/// Another analyzer of a cluster may store something meanwhile.
const RHYTHMS_AGE: Duration = Duration::from_secs(20);
/// Some milliseconds of work.
const BEATS_AT_ONCE: usize = 20_000;
/// Small boxes have no more cores; beats of 40 octets wait for one.
const SEARCHES_AT_ONCE: usize = 4;
/// Fewer seconds with packets cannot be regular: see `findings`.
const LEAST_BEATS: u64 = 8;
/// Ten days of a mixed household; some five million slices take five to eight seconds.
const MOST_PACKETS: u64 = 30_000_000;
/// A day of it, where rhythms are one thing beside others: half a second.
pub(super) const GLANCE_PACKETS: u64 = 3_000_000;
/// Connections that periods can be asked of by name: with some 80 octets each they stay below what ClickHouse
/// takes as a parameter (128 KiB).
pub(super) const MAX_FIVE_TUPLES: usize = 1000;
/// Nor can what lasted a shorter time.
const LEAST_SECS: i64 = 25;
/// Periods that differ by less are the same habit.
const SAME_PERIOD: f64 = 1.25;
