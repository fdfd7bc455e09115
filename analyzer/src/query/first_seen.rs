//! `first-seen`: destinations that devices had their first packet with in the range.
//!
//! From the days' roll-up, which outlives the packets by years.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::Ipv6Addr,
};

use iotq_proto::v1;

use super::{
    Analyst, AskError, Asked, Out, Pieces,
    peers::{By, Peer, is_outside},
    sides::Side,
};
use crate::{
    enrich::DeviceKey,
    store::{Detail, PairOrder, Scope, TimeRange},
};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let mut first = BTreeMap::<(DeviceKey, String), First>::new();
    // Of all that is known; what several collectors saw was first seen by one of them.
    let all = TimeRange { since_ns: None, until_ns: None };
    let scope = Scope { range: all, several_collectors: false, ..asked.scope.clone() };
    let add = |side: Side, _: &str| {
        if !is_outside(&asked.directory, side.peer_ip) {
            return;
        }
        let peer = analyst.peer(asked, side.device, None, side.peer_ip);
        let (key, destination, name_source) = peer.destination(By::Name, side.peer_ip);
        let seen = First {
            first_at_ns: side.first_at_ns,
            last_at_ns: side.last_at_ns,
            ip: side.peer_ip,
            peer,
            destination,
            name_source,
        };
        match first.entry((side.device, key)) {
            Entry::Vacant(entry) => _ = entry.insert(seen),
            Entry::Occupied(entry) => entry.into_mut().add(seen),
        }
    };
    analyst.each_side(&asked.directory, &scope, Detail::Times, PairOrder::Any, add).await?;
    let range = asked.scope.range;
    let mut rows: Vec<_> = first.into_iter().filter(|(_, seen)| range.contains(seen.first_at_ns)).collect();
    rows.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.first_at_ns));
    let mut pieces = Pieces::new(out, asked.scope.limit, |first_seen| v1::Rows { first_seen, ..v1::Rows::default() });
    for ((key, _), First { first_at_ns, last_at_ns, peer, destination, name_source, .. }) in rows {
        let (device, device_name) = analyst.id_and_name(asked, Some(key));
        let row = v1::FirstSeen {
            device,
            device_name,
            destination,
            name_source: name_source.to_owned(),
            asn: peer.asn,
            as_name: peer.as_name,
            country: peer.country,
            owner: peer.owner,
            first_seen_at_ns: first_at_ns,
            last_seen_at_ns: last_at_ns,
        };
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}

/// A device and a destination that it had packets with.
#[derive(Debug)]
struct First {
    first_at_ns: i64,
    last_at_ns: i64,
    /// The lowest of its addresses, which the rest is about.
    ip: Ipv6Addr,
    peer: Peer,
    destination: String,
    name_source: &'static str,
}

impl First {
    fn add(&mut self, other: Self) {
        let (first_at_ns, last_at_ns) =
            (self.first_at_ns.min(other.first_at_ns), self.last_at_ns.max(other.last_at_ns));
        if other.ip < self.ip {
            *self = other;
        }
        (self.first_at_ns, self.last_at_ns) = (first_at_ns, last_at_ns);
    }
}
