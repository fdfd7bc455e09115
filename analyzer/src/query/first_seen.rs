//! `first-seen`: destinations that devices had their first packet with in the range.
//!
//! From the days' roll-up, which outlives the packets by years.

use std::collections::BTreeMap;

use iotq_proto::v1;

use super::{
    Analyst, AskError, Asked, Out, Pieces,
    peers::{By, Peer, is_outside},
    sides::Side,
};
use crate::{
    enrich::DeviceKey,
    store::{Detail, Scope, TimeRange},
};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let mut first = BTreeMap::<(DeviceKey, String), (i64, i64, Peer, String, &'static str)>::new();
    // Of all that is known; what several collectors saw was first seen by one of them.
    let all = TimeRange { since_ns: None, until_ns: None };
    let scope = Scope { range: all, several_collectors: false, ..asked.scope.clone() };
    let add = |side: Side| {
        if !is_outside(&asked.directory, side.peer_ip) {
            return;
        }
        let peer = analyst.peer(asked, side.device, None, side.peer_ip);
        let (key, destination, name_source) = peer.destination(By::Name, side.peer_ip);
        let (first_at_ns, last_at_ns) = (side.first_at_ns, side.last_at_ns);
        let seen = first.entry((side.device, key)).or_insert((first_at_ns, last_at_ns, peer, destination, name_source));
        seen.0 = seen.0.min(first_at_ns);
        seen.1 = seen.1.max(last_at_ns);
    };
    analyst.each_side(&asked.directory, &scope, Detail::Times, add).await?;
    let range = asked.scope.range;
    let mut rows: Vec<_> = first
        .into_iter()
        .filter(|(_, seen)| {
            range.since_ns.is_none_or(|since| seen.0 >= since) && range.until_ns.is_none_or(|until| seen.0 < until)
        })
        .collect();
    rows.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.0));
    let mut pieces = Pieces::new(out, asked.scope.limit, |first_seen| v1::Rows { first_seen, ..v1::Rows::default() });
    for ((key, _), (first_seen_at_ns, last_seen_at_ns, peer, destination, name_source)) in rows {
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
            first_seen_at_ns,
            last_seen_at_ns,
        };
        if !pieces.push(row).await? {
            break;
        }
    }
    pieces.end().await
}
