//! Flow slices as rows.

use std::net::Ipv6Addr;

use clickhouse::native::builder::BlockBuilder;
use iotq_proto::v1;

use super::{BoxedError, Member, column, narrow_u16};

pub(super) fn rows(batch: &v1::Batch) -> usize {
    batch.slices.as_ref().map_or(0, |slices| slices.second.len())
}

pub(super) fn fill(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let Some(slices) = &member.batch.slices else { return Ok(()) };
    let (id, arrived_on) = (member.id, member.arrived_on);
    let rows = || slices.packets.iter();
    let totals = Totals::of(slices);
    column(block, "arrived_on", rows().map(|_| arrived_on))?;
    column(block, "collector", rows().map(|_| member.collector()))?;
    column(block, "epoch", rows().map(|_| id.epoch))?;
    column(block, "seq", rows().map(|_| id.seq))?;
    column(block, "second", slices.second.iter().copied())?;
    column(block, "vlan_id", slices.vlan_id.iter().map(|vlan| narrow_u16(*vlan)))?;
    column(block, "a_mac", slices.a_mac.iter().copied())?;
    column(block, "b_mac", slices.b_mac.iter().copied())?;
    column(block, "a_ip", addresses(&slices.a_ip))?;
    column(block, "b_ip", addresses(&slices.b_ip))?;
    column(block, "ip_version", slices.ip_version.iter().copied())?;
    column(block, "protocol", slices.protocol.iter().copied())?;
    column(block, "has_ports", slices.has_ports.iter().copied())?;
    column(block, "a_port", slices.a_port.iter().map(|port| narrow_u16(*port)))?;
    column(block, "b_port", slices.b_port.iter().map(|port| narrow_u16(*port)))?;
    column(block, "a_packets", totals.a_packets)?;
    column(block, "b_packets", totals.b_packets)?;
    column(block, "a_wire_bytes", totals.a_wire_bytes)?;
    column(block, "b_wire_bytes", totals.b_wire_bytes)?;
    // `payload_bytes` is what is left of `wire_bytes`, so that any pair comes back as it was.
    let lengths = slices.wire_bytes.iter().zip(&slices.payload_bytes);
    let overhead_bytes: Vec<u32> = lengths.map(|(wire, payload)| wire.wrapping_sub(*payload)).collect();
    let tcp_flags: Vec<u16> = slices.tcp_flags.iter().map(|flags| narrow_u16(*flags)).collect();
    column(block, "offset_ns", Arrays::new(&slices.packets, &slices.offset_ns))?;
    column(block, "wire_bytes", Arrays::new(&slices.packets, &slices.wire_bytes))?;
    column(block, "overhead_bytes", Arrays::new(&slices.packets, &overhead_bytes))?;
    column(block, "tcp_flags", Arrays::new(&slices.packets, &tcp_flags))?;
    column(block, "from_a", Arrays::new(&slices.packets, &slices.from_a))
}

/// Sums a slice and direction, so that questions need not open the arrays.
#[derive(Default)]
struct Totals {
    a_packets: Vec<u32>,
    b_packets: Vec<u32>,
    a_wire_bytes: Vec<u64>,
    b_wire_bytes: Vec<u64>,
}

impl Totals {
    fn of(slices: &v1::FlowSlices) -> Self {
        let mut totals = Self::default();
        let directions = Arrays::new(&slices.packets, &slices.from_a);
        let lengths = Arrays::new(&slices.packets, &slices.wire_bytes);
        for (from_a, wire_bytes) in directions.zip(lengths) {
            let (mut packets, mut octets) = ([0_u32; 2], [0_u64; 2]);
            for (from_a, wire_bytes) in from_a.iter().zip(wire_bytes) {
                let side = usize::from(*from_a == 0);
                if let (Some(packets), Some(octets)) = (packets.get_mut(side), octets.get_mut(side)) {
                    *packets += 1;
                    *octets += u64::from(*wire_bytes);
                }
            }
            totals.a_packets.push(packets[0]);
            totals.b_packets.push(packets[1]);
            totals.a_wire_bytes.push(octets[0]);
            totals.b_wire_bytes.push(octets[1]);
        }
        totals
    }
}

/// Cuts a column of packets into the slices' pieces.
struct Arrays<'a, T> {
    counts: std::slice::Iter<'a, u32>,
    rest: &'a [T],
}

impl<'a, T> Arrays<'a, T> {
    fn new(counts: &'a [u32], values: &'a [T]) -> Self {
        Self { counts: counts.iter(), rest: values }
    }
}

impl<'a, T> Iterator for Arrays<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<Self::Item> {
        let count = usize::try_from(*self.counts.next()?).ok()?;
        let (piece, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(piece)
    }
}

fn addresses(octets: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    octets.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets))
}
