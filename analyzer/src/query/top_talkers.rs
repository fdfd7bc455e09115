//! `top-talkers`: which devices say most.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::Ipv6Addr,
    sync::Arc,
    time::Duration,
};

use iotq_proto::v1::{self, top_talkers_question::Order};

use super::{
    Analyst, AskError, Asked, Out, Pieces, octets,
    peers::add_ip,
    rate, share,
    sides::{PartOfHour, Side},
};
use crate::{
    enrich::{DeviceKey, Directory},
    store::{Detail, PairOrder, Scope, TimeRange},
};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::TopTalkersQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let (talkers, usual, ()) = tokio::try_join!(talkers(analyst, asked), usual(analyst, asked), out.header(asked))?;
    let minutes = asked.minutes().await?;
    let (all_packets, all_wire_bytes) = talkers
        .values()
        .fold((0, 0), |(packets, wire_bytes), talker| (packets + talker.packets, wire_bytes + talker.wire_bytes));
    let order = question.order();
    let mut talkers: Vec<_> = talkers.into_iter().collect();
    talkers.sort_by(|(one_key, one), (other_key, other)| {
        other.weight(order).total_cmp(&one.weight(order)).then_with(|| one_key.columns().cmp(&other_key.columns()))
    });
    let mut pieces = Pieces::new(out, asked.scope.limit, |top_talkers| v1::Rows { top_talkers, ..v1::Rows::default() });
    for (key, talker) in talkers {
        let naming = analyst.naming(asked, key);
        let row = v1::TopTalker {
            device: key.to_string(),
            name: naming.name,
            vendor: naming.vendor,
            groups: naming.groups,
            packets: talker.packets,
            wire_bytes: talker.wire_bytes,
            packets_per_minute: rate(talker.packets, minutes),
            awake_packets_per_minute: talker.weight(Order::Rate),
            peers: talker.peers.count(),
            share: match order {
                Order::Bytes => share(talker.wire_bytes, all_wire_bytes),
                Order::Unspecified | Order::Packets | Order::Rate => share(talker.packets, all_packets),
            },
            usual_packets_per_minute: usual.packets_per_minute.get(&key).copied(),
            ips: talker.ips.into_iter().map(octets).collect(),
            also_seen_by: talker.also_seen_by.into_iter().collect(),
        };
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}

/// What a device exchanged with all others.
#[derive(Debug)]
struct Talker {
    packets: u64,
    wire_bytes: u64,
    ips: BTreeSet<Ipv6Addr>,
    peers: Peers,
    hours: Hours,
    also_seen_by: BTreeSet<String>,
}

/// Different addresses.
#[derive(Debug)]
enum Peers {
    Kept(HashSet<Ipv6Addr>),
    /// The same come one after the other.
    InOrder {
        count: u64,
        last: Option<Ipv6Addr>,
    },
}

/// What a device had in each hour.
#[derive(Debug, Default)]
struct Hours(HashMap<i32, Hour>);

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    /// As bits.
    awake_minutes: u64,
    packets: u64,
}

impl Talker {
    fn new(order: PairOrder) -> Self {
        Self {
            packets: 0,
            wire_bytes: 0,
            ips: BTreeSet::new(),
            peers: Peers::new(order),
            hours: Hours::default(),
            also_seen_by: BTreeSet::new(),
        }
    }

    /// Returns whether another peer is kept.
    fn add(&mut self, side: &Side) -> bool {
        self.packets += side.packets;
        self.wire_bytes += side.wire_bytes;
        add_ip(&mut self.ips, side.device_ip);
        // Of few minutes all are in one "hour".
        if side.awake_minutes != 0 {
            self.hours.add(PartOfHour { hour: 0, awake_minutes: side.awake_minutes, packets: side.packets });
        }
        self.peers.add(side.peer_ip)
    }

    /// What it is ordered by; the rate is that of its awake minutes.
    #[expect(clippy::cast_precision_loss, reason = "packets, octets and minutes need no more than 52 bits")]
    fn weight(&self, order: Order) -> f64 {
        match order {
            Order::Unspecified | Order::Packets => self.packets as f64,
            Order::Bytes => self.wire_bytes as f64,
            Order::Rate => {
                let minutes: u32 = self.hours.0.values().map(|hour| hour.awake_minutes.count_ones()).sum();
                // Hours are not kept as long as days; and some packets are in them twice.
                let packets: u64 = self.hours.0.values().map(|hour| hour.packets).sum();
                rate(packets.min(self.packets), f64::from(minutes.max(1)))
            }
        }
    }
}

impl Peers {
    fn new(order: PairOrder) -> Self {
        match order {
            PairOrder::Any => Self::Kept(HashSet::new()),
            PairOrder::OfPeers => Self::InOrder { count: 0, last: None },
        }
    }

    /// Returns whether another is kept.
    fn add(&mut self, peer_ip: Ipv6Addr) -> bool {
        match self {
            Self::Kept(peers) => peers.insert(peer_ip),
            Self::InOrder { count, last } => {
                *count += u64::from(last.replace(peer_ip) != Some(peer_ip));
                false
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Kept(peers) => peers.len() as u64,
            Self::InOrder { count, .. } => *count,
        }
    }
}

impl Hours {
    fn add(&mut self, part: PartOfHour) {
        let hour = self.0.entry(part.hour).or_default();
        hour.awake_minutes |= part.awake_minutes;
        hour.packets += part.packets;
    }
}

/// Sums and minutes from the same rows of few minutes. Of more the sums are those of pairs, from days where there are
/// whole ones, and the minutes those of endpoints by hour: of several collectors a minute was awake if any of them saw a
/// packet in it.
async fn talkers(analyst: &Analyst, asked: &Asked) -> Result<HashMap<DeviceKey, Talker>, AskError> {
    let (directory, scope) = (&asked.directory, &asked.scope);
    let seen_by = seen_by(analyst, scope).await?;
    if scope.has_few_minutes() {
        return sums(analyst, asked, Detail::Minutes, &seen_by).await;
    }
    let sums = sums(analyst, asked, Detail::Sums, &seen_by);
    let (mut talkers, hours) = tokio::try_join!(sums, hours(analyst, directory, scope, false))?;
    for (key, hours) in hours {
        talkers.entry(key).and_modify(|talker| talker.hours = hours);
    }
    Ok(talkers)
}

/// All peers are kept to count them, unless there are too many: then pairs are wanted again in an order in which peers
/// can be counted without that, which takes ClickHouse longer.
async fn sums(
    analyst: &Analyst,
    asked: &Asked,
    detail: Detail,
    seen_by: &SeenBy,
) -> Result<HashMap<DeviceKey, Talker>, AskError> {
    match sums_in(PairOrder::Any, analyst, asked, detail, seen_by).await? {
        Some(talkers) => Ok(talkers),
        None => Ok(sums_in(PairOrder::OfPeers, analyst, asked, detail, seen_by).await?.unwrap_or_default()),
    }
}

/// `None`: peers were too many.
async fn sums_in(
    order: PairOrder,
    analyst: &Analyst,
    asked: &Asked,
    detail: Detail,
    seen_by: &SeenBy,
) -> Result<Option<HashMap<DeviceKey, Talker>>, AskError> {
    let mut talkers = HashMap::<DeviceKey, Talker>::new();
    let mut kept_peers = 0;
    let add = |side: Side, collector: &str| {
        if kept_peers > MAX_KEPT_PEERS {
            return;
        }
        let talker = talkers.entry(side.device).or_insert_with(|| Talker::new(order));
        kept_peers += usize::from(talker.add(&side));
        let pair = (side.device_ip.min(side.peer_ip), side.device_ip.max(side.peer_ip));
        for other in seen_by.get(&pair).into_iter().flatten().filter(|other| *other != collector) {
            if !talker.also_seen_by.contains(other) {
                talker.also_seen_by.insert(other.clone());
            }
        }
    };
    analyst.each_side(&asked.directory, &asked.scope, detail, order, add).await?;
    Ok((kept_peers <= MAX_KEPT_PEERS).then_some(talkers))
}

/// The collectors that show a pair of addresses, where they are several.
type SeenBy = HashMap<(Ipv6Addr, Ipv6Addr), Vec<String>>;

/// Which collectors show a pair of addresses in the same hour, where that are several.
async fn seen_by(analyst: &Analyst, scope: &Scope) -> Result<SeenBy, AskError> {
    let mut seen_by = SeenBy::new();
    if scope.several_collectors {
        let mut rows = analyst.store.pairs_seen_by(scope)?;
        while let Some(row) = rows.next().await? {
            seen_by.insert((row.a_ip, row.b_ip), row.collectors);
        }
    }
    Ok(seen_by)
}

async fn hours(
    analyst: &Analyst,
    directory: &Directory,
    scope: &Scope,
    once: bool,
) -> Result<HashMap<DeviceKey, Hours>, AskError> {
    let mut hours = HashMap::<DeviceKey, Hours>::new();
    let add = |device, part| hours.entry(device).or_default().add(part);
    analyst.each_hour(directory, scope, once, add).await?;
    Ok(hours)
}

/// What is usual for devices, and of which packets.
#[derive(Debug)]
pub(super) struct Usual {
    scope: Scope,
    packets_per_minute: HashMap<DeviceKey, f64>,
}

/// What each device's packets a minute usually are, from the whole clock hours of
/// the week before the range. That of a week is the same for an hour, and takes longer to
/// find than the rest of the answer: it is kept for a minute, unless something is stored
/// that is not of just now.
async fn usual(analyst: &Analyst, asked: &Asked) -> Result<Arc<Usual>, AskError> {
    let Some(since_ns) = asked.scope.range.since_ns else {
        return Ok(Arc::new(Usual { scope: asked.scope.clone(), packets_per_minute: HashMap::new() }));
    };
    let until_ns = since_ns - since_ns.rem_euclid(HOUR_NS);
    let range = TimeRange { since_ns: Some(until_ns.saturating_sub(BASELINE_NS)), until_ns: Some(until_ns) };
    let scope = Scope { range, limit: 0, ..asked.scope.clone() };
    let generation = analyst.registry.generation();
    if let Some(usual) = analyst.usual.find(generation, USUAL_AGE)
        && usual.scope.is_about_the_same(&scope)
        && scope.explained.is_none()
    {
        return Ok(usual);
    }
    let hours = hours(analyst, &asked.directory, &scope, true).await?;
    let usual = hours.into_iter().filter(|(_, hours)| hours.0.len() >= LEAST_HOURS);
    let packets = |hours: Hours| hours.0.into_values().map(|hour| hour.packets).collect();
    let packets_per_minute = usual.map(|(key, hours)| (key, median(packets(hours)) / 60.0)).collect();
    let usual = Arc::new(Usual { packets_per_minute, scope });
    analyst.usual.put(generation, &usual);
    Ok(usual)
}

/// The middle one, or what lies between the two in the middle; 0 of none.
#[expect(clippy::cast_precision_loss, reason = "packets of an hour need no more than 52 bits")]
fn median(mut values: Vec<u64>) -> f64 {
    values.sort_unstable();
    let middle = |at: usize| values.get(at).copied().unwrap_or_default() as f64;
    f64::midpoint(middle(values.len().saturating_sub(1) / 2), middle(values.len() / 2))
}

/// Of all devices together: some 10 MB.
const MAX_KEPT_PEERS: usize = 1 << 18;
/// So late may it be that it changed: by the last seconds of an hour, or by another analyzer of a cluster.
const USUAL_AGE: Duration = Duration::from_secs(60);

const HOUR_NS: i64 = 3600 * 1_000_000_000;
/// A week has all habits of a household in it.
const BASELINE_NS: i64 = 168 * HOUR_NS;
/// A median of fewer is no habit; and the first hour of a capture is a part of one.
const LEAST_HOURS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let medians = [vec![], vec![7], vec![9, 1], vec![5, 1, 100], vec![4, 1, 100, 2]].map(median);
        assert_eq!(medians, [0.0, 7.0, 5.0, 5.0, 3.0]);
    }
}
