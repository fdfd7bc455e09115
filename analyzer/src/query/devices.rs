//! `devices`: everything that was seen to be one.

use std::collections::HashMap;

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces, octets_of, rate};
use crate::{
    enrich::DeviceKey,
    store::{DeviceColumns, DeviceRow},
};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let rows = analyst.store.devices(&asked.scope).await?;
    let mut talked = HashMap::new();
    let mut order = Vec::new();
    for row in rows {
        let Some(key) = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip) else { continue };
        talked.insert(key, row);
        order.push(key);
    }
    order.extend(silent(asked, &talked));

    let mut pieces = Pieces::new(out, asked.scope.limit, |devices| v1::Rows { devices, ..v1::Rows::default() });
    for key in order {
        let naming = analyst.naming(asked, key);
        let entry = asked.directory.entry(key);
        let row = talked.get(&key);
        let packets = row.map_or(0, |row| row.packets);
        let mut ips: Vec<_> = entry.map(|entry| entry.ips.clone()).unwrap_or_default();
        if ips.is_empty() {
            ips = row.map(|row| row.ips.iter().map(std::net::Ipv6Addr::to_canonical).collect()).unwrap_or_default();
        }
        let device = v1::Device {
            device: key.to_string(),
            mac: key.mac().map_or(0, iotq_proto::MacAddr::as_u64),
            ips: ips.into_iter().map(octets_of).collect(),
            name: naming.name,
            name_source: naming.source.to_owned(),
            vendor: naming.vendor,
            groups: naming.groups,
            first_seen_at_ns: entry.map_or(0, |entry| entry.first_at_ns),
            last_seen_at_ns: entry.map_or(0, |entry| entry.last_at_ns),
            packets,
            wire_bytes: row.map_or(0, |row| row.wire_bytes),
            packets_per_minute: rate(packets, asked.covered.minutes),
            local_only: row.is_none_or(|row| row.local_only == 1),
            name_at_ns: naming.name_at_ns,
            says: asked.directory.says(key),
        };
        if !pieces.push(device).await? {
            break;
        }
    }
    pieces.end().await
}

/// Devices that showed themselves by ARP or NDP in the range, but had no packets.
fn silent(asked: &Asked, talked: &HashMap<DeviceKey, DeviceRow>) -> Vec<DeviceKey> {
    // Whose sightings these are is not kept by collector and address.
    if !asked.scope.collectors.is_empty() || !asked.scope.nets.is_empty() {
        return Vec::new();
    }
    let range = asked.scope.range;
    let in_range =
        |at: i64| range.since_ns.is_none_or(|since| at >= since) && range.until_ns.is_none_or(|until| at < until);
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
