//! Connections as rows: what a batch reports of one is a row.

use clickhouse::native::builder::BlockBuilder;
use iotq_proto::v1::ConnectionUpdate;

use super::{BoxedError, Member, column, hex, ip, monday, narrow_u8, narrow_u16};

/// Reports of one connection, in their order.
type Reports<'a> = &'a [&'a ConnectionUpdate];

pub(super) fn fill(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let mut reports: Vec<_> = member.batch.connections.iter().collect();
    reports.sort_by_key(|report| (report.number, report.update));
    let rows: Vec<_> = reports.chunk_by(|a, b| identity(a) == identity(b)).filter_map(Row::of).collect();
    let lasts = || rows.iter().map(|row| row.last);
    let sums = |of: fn(&ConnectionUpdate) -> u64| {
        rows.iter().map(move |row| row.reports.iter().map(|report| of(report)).fold(0, u64::saturating_add))
    };
    column(block, "arrived_on", rows.iter().map(|_| monday(member.arrived_on)))?;
    column(block, "collector", rows.iter().map(|_| member.collector()))?;
    column(block, "epoch", rows.iter().map(|_| member.id.epoch))?;
    column(block, "number", lasts().map(|row| row.number))?;
    column(block, "orig_ip", lasts().map(|row| ip(&row.orig_ip)))?;
    column(block, "resp_ip", lasts().map(|row| ip(&row.resp_ip)))?;
    column(block, "ip_version", lasts().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "protocol", lasts().map(|row| narrow_u8(row.protocol)))?;
    column(block, "has_ports", lasts().map(|row| u8::from(row.has_ports)))?;
    column(block, "orig_port", lasts().map(|row| narrow_u16(row.orig_port)))?;
    column(block, "resp_port", lasts().map(|row| narrow_u16(row.resp_port)))?;
    column(block, "orig_mac", lasts().map(|row| row.orig_mac))?;
    column(block, "resp_mac", lasts().map(|row| row.resp_mac))?;
    column(block, "vlan_id", lasts().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "started_at_ns", lasts().map(|row| row.started_at_ns))?;
    column(block, "last_at_ns", rows.iter().map(|row| row.last_at_ns))?;
    column(block, "orig_packets", sums(|row| row.orig_packets))?;
    column(block, "resp_packets", sums(|row| row.resp_packets))?;
    column(block, "orig_wire_bytes", sums(|row| row.orig_wire_bytes))?;
    column(block, "resp_wire_bytes", sums(|row| row.resp_wire_bytes))?;
    column(block, "orig_payload_bytes", sums(|row| row.orig_payload_bytes))?;
    column(block, "resp_payload_bytes", sums(|row| row.resp_payload_bytes))?;
    column(block, "payload_packets", sums(|row| row.payload_packets))?;
    column(block, "orig_retransmitted", sums(|row| row.orig_retransmitted))?;
    column(block, "resp_retransmitted", sums(|row| row.resp_retransmitted))?;
    column(block, "orig_syns", sums(|row| row.orig_syns))?;
    column(block, "unreachable", sums(|row| row.unreachable))?;
    column(block, "updates", sums(|_| 1))?;
    let hashes: Vec<_> = lasts().map(|row| hex(&row.client_id_hash)).collect();
    column(block, "latest", lasts().zip(&hashes).map(|(row, hash)| latest(row, hash)))
}

/// What a batch reports of a connection.
struct Row<'a> {
    reports: Reports<'a>,
    last: &'a ConnectionUpdate,
    last_at_ns: i64,
}

impl<'a> Row<'a> {
    fn of(reports: Reports<'a>) -> Option<Self> {
        let last_at_ns = reports.iter().map(|report| report.last_at_ns).max()?;
        Some(Self { reports, last: reports.last()?, last_at_ns })
    }
}

/// What rows of one connection have in common: what the table sorts by.
fn identity(row: &ConnectionUpdate) -> impl PartialEq {
    (
        (row.number, row.started_at_ns, row.vlan_id),
        (row.ip_version, row.protocol, row.has_ports, row.orig_port, row.resp_port, row.orig_mac, row.resp_mac),
        (ip(&row.orig_ip), ip(&row.resp_ip)),
    )
}

type Latest<'a> = (u32, &'a str, &'a str, &'a str, u8, &'a str, &'a str, &'a str, u16, u16, &'a str, &'a str, i64);

/// As the table's column `latest` has it.
fn latest<'a>(row: &'a ConnectionUpdate, client_id_hash: &'a str) -> Latest<'a> {
    (
        row.update,
        row.end().label(),
        row.state().label(),
        row.history.as_str(),
        u8::from(row.only_syns),
        row.service().label(),
        row.server_name.as_str(),
        row.server_name_source().label(),
        narrow_u16(row.tls_version),
        narrow_u16(row.tls_cipher),
        row.alpn.as_str(),
        client_id_hash,
        // -1: no complete handshake was seen.
        row.handshake_rtt_ns.map_or(-1, |nanos| i64::try_from(nanos).unwrap_or(i64::MAX)),
    )
}
