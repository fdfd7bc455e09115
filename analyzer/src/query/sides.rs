//! What each device exchanged with each address, and when it had packets.
//!
//! ClickHouse sums what endpoints exchanged; whose endpoints they are is told here. In SQL that takes lambdas, which
//! ClickHouse copies to wherever they are used and looks at again: that took longer than the sums.

use std::{collections::HashSet, net::Ipv6Addr};

use iotq_proto::{MacAddr, VlanId};

use super::{Analyst, AskError};
use crate::{
    enrich::{DeviceKey, Directory},
    store::{Detail, EndpointHoursRow, ExchangedRow, PairOrder, Scope},
};

/// What a device sent to an address, and the unicast it received from there. Traffic between two devices has two sides,
/// traffic of a device with itself one.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) device: DeviceKey,
    pub(super) device_ip: Ipv6Addr,
    pub(super) peer_device: Option<DeviceKey>,
    pub(super) peer_ip: Ipv6Addr,
    pub(super) packets: u64,
    pub(super) wire_bytes: u64,
    /// If they were asked for.
    pub(super) first_at_ns: i64,
    pub(super) last_at_ns: i64,
    /// If they were asked for: see [`ExchangedRow::awake_minutes`].
    pub(super) awake_minutes: u64,
}

impl Side {
    /// Sums what are sides of the same two.
    pub(super) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.wire_bytes += other.wire_bytes;
        self.first_at_ns = self.first_at_ns.min(other.first_at_ns);
        self.last_at_ns = self.last_at_ns.max(other.last_at_ns);
    }
}

/// What a device had in an hour, or a part of that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PartOfHour {
    /// Hours since 1970.
    pub(super) hour: i32,
    /// Bit n is set if there was a packet in minute n.
    pub(super) awake_minutes: u64,
    /// What it exchanged with itself may be here twice.
    pub(super) packets: u64,
}

impl Analyst {
    /// Tells all sides of devices that were asked for, some of the same two in parts, with the collector whose packets
    /// they are; nothing is kept.
    pub(super) async fn each_side(
        &self,
        directory: &Directory,
        scope: &Scope,
        detail: Detail,
        order: PairOrder,
        mut tell: impl FnMut(Side, &str),
    ) -> Result<(), AskError> {
        let wanted = Wanted::of(scope);
        let mut rows = self.store.exchanged(scope, detail, order)?;
        while let Some(row) = rows.next().await? {
            sides(directory, &row)
                .into_iter()
                .flatten()
                .filter(|side| wanted.has(side.device))
                .for_each(|side| tell(side, &row.collector));
        }
        Ok(())
    }

    /// Tells all parts of hours of devices that were asked for, in no order. Two parts of an hour may have the same
    /// minutes; what two collectors saw is `packets` of both unless it has to be `once`.
    pub(super) async fn each_hour(
        &self,
        directory: &Directory,
        scope: &Scope,
        once: bool,
        mut tell: impl FnMut(DeviceKey, PartOfHour),
    ) -> Result<(), AskError> {
        let wanted = Wanted::of(scope);
        let mut rows = if scope.nets.is_empty() && !(once && scope.several_collectors) {
            self.store.endpoint_hours(scope)?
        } else {
            self.store.endpoint_hours_of_pairs(scope)?
        };
        while let Some(row) = rows.next().await? {
            let device = device_of(directory, &row.collector, row.vlan_id, row.mac, row.ip);
            if let Some(device) = device.filter(|device| wanted.has(*device)) {
                parts(&row).for_each(|part| tell(device, part));
            }
        }
        Ok(())
    }
}

/// The devices that were asked for. `None`: all.
pub(super) struct Wanted(Option<HashSet<DeviceKey>>);

impl Wanted {
    pub(super) fn of(scope: &Scope) -> Self {
        let key = |(mac, vlan, ip): &(u64, u16, Ipv6Addr)| DeviceKey::from_columns(*mac, *vlan, *ip);
        Self(scope.devices.as_ref().map(|keys| keys.iter().filter_map(key).collect()))
    }

    pub(super) fn has(&self, device: DeviceKey) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted.contains(&device))
    }
}

/// Whose this endpoint is.
pub(super) fn device_of(
    directory: &Directory,
    collector: &str,
    vlan_id: u16,
    mac: u64,
    ip: Ipv6Addr,
) -> Option<DeviceKey> {
    let (vlan, mac) = (VlanId::from_u32(vlan_id.into())?, MacAddr::from_u64(mac)?);
    directory.identity().device_of(collector, vlan, mac, ip.to_canonical())
}

/// What an endpoint sent: packets and their octets.
#[derive(Clone, Copy)]
struct Sent(u64, u64);

/// The sides of a row's two endpoints.
fn sides(directory: &Directory, row: &ExchangedRow) -> [Option<Side>; 2] {
    let device = |mac, ip| device_of(directory, &row.collector, row.vlan_id, mac, ip);
    let a = (device(row.a_mac, row.a_ip), row.a_mac, row.a_ip, Sent(row.a_packets, row.a_wire_bytes));
    let b = (device(row.b_mac, row.b_ip), row.b_mac, row.b_ip, Sent(row.b_packets, row.b_wire_bytes));
    let side = |(device, mac, device_ip, sent), (peer_device, _, peer_ip, received)| {
        let Sent(packets, wire_bytes) = counted(mac, sent, received);
        (packets > 0).then_some(Side {
            device: device?,
            device_ip,
            peer_device,
            peer_ip,
            packets,
            wire_bytes,
            first_at_ns: row.first_at_ns,
            last_at_ns: row.last_at_ns,
            awake_minutes: row.awake_minutes,
        })
    };
    let is_told = |side: u8| row.side == side || row.side == BOTH;
    let a_side = if is_told(0) { side(a, b) } else { None };
    let b_side = if is_told(1) && a.0 != b.0 { side(b, a) } else { None };
    [a_side, b_side]
}

/// A row that is about both of its endpoints.
const BOTH: u8 = 2;

/// By the group bit of the MAC: broadcast and multicast count for the sender.
fn counted(mac: u64, sent: Sent, received: Sent) -> Sent {
    let is_group = mac & (1 << 40) != 0;
    if is_group { sent } else { Sent(sent.0.saturating_add(received.0), sent.1.saturating_add(received.1)) }
}

fn parts(row: &EndpointHoursRow) -> impl Iterator<Item = PartOfHour> {
    let parts = row.hours.iter().zip(&row.awake_minutes).zip(&row.packets);
    parts.map(|((hour, awake_minutes), packets)| PartOfHour {
        hour: *hour,
        awake_minutes: *awake_minutes,
        packets: *packets,
    })
}
