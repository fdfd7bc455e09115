//! `packets`: one by one, from the past or as they come.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use iotq_proto::{CheckedBatch, MacAddr, VlanId, v1};
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use super::{Analyst, AskError, Asked, Out, ROWS_A_PIECE, octets_of, tell_in_time};
use crate::{
    enrich::{DeviceKey, mapped},
    store::PacketRow,
};

/// A packet before names are put on it.
struct Seen<'a> {
    captured_at_ns: i64,
    collector: &'a str,
    also_seen_by: &'a [String],
    ip_version: u8,
    protocol: u8,
    has_ports: bool,
    vlan_id: u16,
    src: End,
    dst: End,
    wire_bytes: u32,
    payload_bytes: u32,
    tcp_flags: u16,
}

#[derive(Clone, Copy)]
struct End {
    ip: IpAddr,
    port: u16,
    device: Option<DeviceKey>,
}

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::PacketsQuestion,
    out: &Out,
) -> Result<(), AskError> {
    // Before looking back, so that nothing falls between.
    let mut stored = analyst.stored.subscribe();
    out.header(asked).await?;
    if question.follow {
        return follow(analyst, asked, &mut stored, out).await;
    }
    drop(stored);
    let rows = analyst.store.packets(&asked.scope)?;
    let wrap = |packets| v1::Rows { packets, ..v1::Rows::default() };
    tell_in_time(out, &asked.scope, rows, wrap, |row| named(analyst, asked, &seen(&row))).await
}

/// Sends what is stored from now on, batch by batch.
async fn follow(
    analyst: &Analyst,
    asked: &Asked,
    stored: &mut tokio::sync::broadcast::Receiver<std::sync::Arc<CheckedBatch>>,
    out: &Out,
) -> Result<(), AskError> {
    let mut asked = asked.again(analyst).await?;
    let mut looked_at = Instant::now();
    let mut left = match usize::try_from(asked.scope.limit) {
        Ok(limit @ 1..) => limit,
        _ => usize::MAX,
    };
    while left > 0 {
        let batch = match stored.recv().await {
            Ok(batch) => batch,
            Err(RecvError::Lagged(batches)) => {
                warn!(batches, "a follower was too slow; batches left out");
                continue;
            }
            Err(RecvError::Closed) => return out.trailer(false).await,
        };
        // Devices come and routers become known while we follow.
        if looked_at.elapsed() > LOOK_AGAIN {
            asked = asked.again(analyst).await?;
            looked_at = Instant::now();
        }
        let mut packets = batch_packets(analyst, &asked, &batch);
        packets.sort_by_key(|packet| packet.captured_at_ns);
        packets.truncate(left);
        left -= packets.len();
        while !packets.is_empty() {
            let rest = packets.split_off(packets.len().min(ROWS_A_PIECE));
            out.rows(v1::Rows { packets, ..v1::Rows::default() }).await?;
            packets = rest;
        }
    }
    out.trailer(false).await
}

/// The batch's packets that the question is about: the same choice as `sql/packets.sql`.
fn batch_packets(analyst: &Analyst, asked: &Asked, batch: &CheckedBatch) -> Vec<v1::Packet> {
    let collector = batch.id().collector.as_str();
    let scope = &asked.scope;
    let mut packets = Vec::new();
    if !scope.collectors.is_empty() && !scope.collectors.iter().any(|wanted| wanted == collector) {
        return packets;
    }
    let Some(slices) = &batch.batch().slices else { return packets };
    let ips = |column: &[u8], versions: &[u8]| -> Vec<IpAddr> {
        let octets = column.as_chunks::<16>().0.iter().zip(versions);
        octets
            .filter_map(|(octets, version)| iotq_proto::address_of_version(octets, u32::from(*version)).ok())
            .collect()
    };
    let (a_ips, b_ips) = (ips(&slices.a_ip, &slices.ip_version), ips(&slices.b_ip, &slices.ip_version));
    let mut next = 0;
    // Lengths were checked with the batch: `get` leaves nothing out.
    for (index, count) in slices.packets.iter().enumerate() {
        let first = next;
        next += usize::try_from(*count).unwrap_or(usize::MAX);
        let slice = || {
            let vlan = VlanId::from_u32(*slices.vlan_id.get(index)?)?;
            let end = |ip: IpAddr, port: u32, mac: u64| {
                let mac = MacAddr::from_u64(mac).unwrap_or_default();
                let device = asked.directory.identity().device_of(collector, vlan, mac, ip.to_canonical());
                End { ip, port: u16::try_from(port).unwrap_or_default(), device }
            };
            let a = end(*a_ips.get(index)?, *slices.a_port.get(index)?, *slices.a_mac.get(index)?);
            let b = end(*b_ips.get(index)?, *slices.b_port.get(index)?, *slices.b_mac.get(index)?);
            is_wanted(asked, a, b).then_some((vlan, a, b))
        };
        let Some((vlan, a, b)) = slice() else { continue };
        for at in first..next {
            let packet = || {
                let second = slices.second.get(index)?.checked_mul(1_000_000_000)?;
                let from_a = *slices.from_a.get(at)? == 1;
                let (src, dst) = if from_a { (a, b) } else { (b, a) };
                Some(Seen {
                    captured_at_ns: second.saturating_add(i64::from(*slices.offset_ns.get(at)?)),
                    collector,
                    // What others see comes later, or came already.
                    also_seen_by: &[],
                    ip_version: *slices.ip_version.get(index)?,
                    protocol: *slices.protocol.get(index)?,
                    has_ports: *slices.has_ports.get(index)? == 1,
                    vlan_id: vlan.as_u16(),
                    src,
                    dst,
                    wire_bytes: *slices.wire_bytes.get(at)?,
                    payload_bytes: *slices.payload_bytes.get(at)?,
                    tcp_flags: u16::try_from(*slices.tcp_flags.get(at)?).ok()?,
                })
            };
            packets.extend(packet().map(|seen| named(analyst, asked, &seen)));
        }
    }
    packets
}

fn is_wanted(asked: &Asked, a: End, b: End) -> bool {
    let scope = &asked.scope;
    let is_device = |end: End| match (&scope.devices, end.device) {
        (None, _) => true,
        (Some(devices), Some(key)) => devices.contains(&key.columns()),
        (Some(_), None) => false,
    };
    let is_in_net = |end: End| scope.nets.iter().any(|(first, last)| (*first..=*last).contains(&mapped(end.ip)));
    (is_device(a) || is_device(b)) && (scope.nets.is_empty() || is_in_net(a) || is_in_net(b))
}

fn seen(row: &PacketRow) -> Seen<'_> {
    let end = |ip: std::net::Ipv6Addr, port, mac, vlan_id, device_ip| End {
        ip: if row.ip_version == 4 { ip.to_canonical() } else { ip.into() },
        port,
        device: DeviceKey::from_columns(mac, vlan_id, device_ip),
    };
    let a = end(row.a_ip, row.a_port, row.a_device_mac, row.a_device_vlan_id, row.a_device_ip);
    let b = end(row.b_ip, row.b_port, row.b_device_mac, row.b_device_vlan_id, row.b_device_ip);
    let (src, dst) = if row.from_a == 1 { (a, b) } else { (b, a) };
    Seen {
        captured_at_ns: row.captured_at_ns,
        collector: &row.collector,
        also_seen_by: &row.also_seen_by,
        ip_version: row.ip_version,
        protocol: row.protocol,
        has_ports: row.has_ports == 1,
        vlan_id: row.vlan_id,
        src,
        dst,
        wire_bytes: row.wire_bytes,
        payload_bytes: row.payload_bytes,
        tcp_flags: row.tcp_flags,
    }
}

fn named(analyst: &Analyst, asked: &Asked, seen: &Seen<'_>) -> v1::Packet {
    let (src, dst) = (seen.src, seen.dst);
    let src_name = analyst.peer_naming(asked, dst.device, src.device, mapped(src.ip)).name;
    let dst_name = analyst.peer_naming(asked, src.device, dst.device, mapped(dst.ip)).name;
    let (device, device_name, peer_name) = match (seen.src.device, seen.dst.device) {
        (Some(key), _) => (key.to_string(), src_name.clone(), dst_name.clone()),
        (None, Some(key)) => (key.to_string(), dst_name.clone(), src_name.clone()),
        (None, None) => (String::new(), String::new(), dst_name.clone()),
    };
    let port = |port: u16| seen.has_ports.then_some(u32::from(port));
    v1::Packet {
        captured_at_ns: seen.captured_at_ns,
        collector: seen.collector.to_owned(),
        src_ip: octets_of(seen.src.ip),
        src_port: port(seen.src.port),
        dst_ip: octets_of(seen.dst.ip),
        dst_port: port(seen.dst.port),
        ip_version: seen.ip_version.into(),
        protocol: seen.protocol.into(),
        wire_bytes: seen.wire_bytes,
        payload_bytes: seen.payload_bytes,
        tcp_flags: (seen.tcp_flags != 0xffff).then_some(seen.tcp_flags.into()),
        vlan_id: (seen.vlan_id != VlanId::UNTAGGED.as_u16()).then_some(seen.vlan_id.into()),
        device,
        device_name,
        peer_name,
        src_name,
        dst_name,
        also_seen_by: seen.also_seen_by.to_vec(),
    }
}

/// Looking up all devices costs some milliseconds; a second's delay nobody sees.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
