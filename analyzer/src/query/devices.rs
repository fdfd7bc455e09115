//! `devices`: everything that was seen to be one.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::Ipv6Addr,
};

use iotq_proto::v1;

use super::{
    Analyst, AskError, Asked, Out, Pieces, octets_of,
    peers::{add_ip, is_outside},
    rate,
    sides::Side,
};
use crate::{
    enrich::{DeviceKey, Entry},
    store::{Detail, DeviceColumns, PairOrder},
};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    let (talked, ()) = tokio::try_join!(talked(analyst, asked), out.header(asked))?;
    let minutes = asked.minutes().await?;
    let mut order: Vec<_> = talked.iter().map(|(key, talked)| (Reverse(talked.packets), key.columns(), *key)).collect();
    order.sort_unstable();
    let mut order: Vec<_> = order.into_iter().map(|(_, _, key)| key).collect();
    order.extend(silent(asked, &talked));

    let mut pieces = Pieces::new(out, asked.scope.limit, |devices| v1::Rows { devices, ..v1::Rows::default() });
    for key in order {
        let naming = analyst.naming(asked, key);
        let entry = asked.directory.entry(key);
        let row = talked.get(&key);
        let packets = row.map_or(0, |row| row.packets);
        let (first_seen_at_ns, last_seen_at_ns) = seen(asked, row, entry);
        let mut ips: Vec<_> = entry.map(|entry| entry.ips.clone()).unwrap_or_default();
        if ips.is_empty() {
            ips = row.map(|row| row.ips.iter().map(Ipv6Addr::to_canonical).collect()).unwrap_or_default();
        }
        let device = v1::Device {
            device: key.to_string(),
            mac: key.mac().map_or(0, iotq_proto::MacAddr::as_u64),
            ips: ips.into_iter().map(octets_of).collect(),
            name: naming.name,
            name_source: naming.source.to_owned(),
            vendor: naming.vendor,
            groups: naming.groups,
            first_seen_at_ns,
            last_seen_at_ns,
            packets,
            wire_bytes: row.map_or(0, |row| row.wire_bytes),
            packets_per_minute: rate(packets, minutes),
            local_only: row.is_none_or(|row| !row.is_outside),
            name_at_ns: naming.name_at_ns,
            says: asked.directory.says(key),
        };
        if !pieces.push(device).await? {
            break;
        }
    }
    pieces.end().await
}

/// What a device exchanged.
#[derive(Debug, Default)]
struct Talked {
    packets: u64,
    wire_bytes: u64,
    /// Of the first and the last packet.
    times: Option<(i64, i64)>,
    /// Its addresses, or as many as are told.
    ips: BTreeSet<Ipv6Addr>,
    /// With somebody who is not in the house.
    is_outside: bool,
}

async fn talked(analyst: &Analyst, asked: &Asked) -> Result<HashMap<DeviceKey, Talked>, AskError> {
    let mut talked = HashMap::<DeviceKey, Talked>::new();
    let is_outside = |ip| is_outside(&asked.directory, ip);
    let add = |side: Side, _: &str| {
        let sum = talked.entry(side.device).or_default();
        sum.packets += side.packets;
        sum.wire_bytes += side.wire_bytes;
        let (first, last) = sum.times.unwrap_or((i64::MAX, i64::MIN));
        sum.times = Some((first.min(side.first_at_ns), last.max(side.last_at_ns)));
        add_ip(&mut sum.ips, side.device_ip);
        sum.is_outside = sum.is_outside || is_outside(side.peer_ip) || is_outside(side.device_ip);
    };
    analyst.each_side(&asked.directory, &asked.scope, Detail::Times, PairOrder::Any, add).await?;
    Ok(talked)
}

/// When a device was first and last seen in the range: by packets, or because it showed itself by ARP or NDP.
fn seen(asked: &Asked, row: Option<&Talked>, entry: Option<&Entry>) -> (i64, i64) {
    let shown = entry.filter(|_| is_of_all(asked)).map(|entry| (entry.first_at_ns, entry.last_at_ns));
    let times = row.and_then(|row| row.times).into_iter().chain(shown).flat_map(|(first, last)| [first, last]);
    let times: Vec<_> = times.filter(|at| asked.scope.range.contains(*at)).collect();
    (times.iter().min().copied().unwrap_or_default(), times.iter().max().copied().unwrap_or_default())
}

/// Whose sightings these are is not kept by collector and address.
fn is_of_all(asked: &Asked) -> bool {
    asked.scope.collectors.is_empty() && asked.scope.nets.is_empty()
}

/// Devices that showed themselves by ARP or NDP in the range, but had no packets.
fn silent(asked: &Asked, talked: &HashMap<DeviceKey, Talked>) -> Vec<DeviceKey> {
    if !is_of_all(asked) {
        return Vec::new();
    }
    let in_range = |at: i64| asked.scope.range.contains(at);
    let wanted = |key: DeviceKey| -> bool {
        let columns: DeviceColumns = key.columns();
        asked.scope.devices.as_ref().is_none_or(|devices| devices.contains(&columns))
    };
    let mut silent: Vec<_> = asked
        .directory
        .iter()
        .filter(|(key, entry)| {
            !talked.contains_key(key) && wanted(*key) && (in_range(entry.first_at_ns) || in_range(entry.last_at_ns))
        })
        .map(|(key, _)| key)
        .collect();
    silent.sort_unstable();
    silent
}
