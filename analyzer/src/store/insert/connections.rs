//! Connection updates as rows.

use clickhouse::native::builder::BlockBuilder;

use super::{BoxedError, Member, column, hex, ip, narrow_u8, narrow_u16};

pub(super) fn fill(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let rows = || member.batch.connections.iter();
    column(block, "arrived_on", rows().map(|_| member.arrived_on))?;
    column(block, "collector", rows().map(|_| member.collector()))?;
    column(block, "epoch", rows().map(|_| member.id.epoch))?;
    column(block, "number", rows().map(|row| row.number))?;
    column(block, "update", rows().map(|row| row.update))?;
    column(block, "started_at_ns", rows().map(|row| row.started_at_ns))?;
    column(block, "last_at_ns", rows().map(|row| row.last_at_ns))?;
    column(block, "end", rows().map(|row| row.end().label()))?;
    column(block, "orig_ip", rows().map(|row| ip(&row.orig_ip)))?;
    column(block, "resp_ip", rows().map(|row| ip(&row.resp_ip)))?;
    column(block, "ip_version", rows().map(|row| narrow_u8(row.ip_version)))?;
    column(block, "protocol", rows().map(|row| narrow_u8(row.protocol)))?;
    column(block, "has_ports", rows().map(|row| u8::from(row.has_ports)))?;
    column(block, "orig_port", rows().map(|row| narrow_u16(row.orig_port)))?;
    column(block, "resp_port", rows().map(|row| narrow_u16(row.resp_port)))?;
    column(block, "orig_mac", rows().map(|row| row.orig_mac))?;
    column(block, "resp_mac", rows().map(|row| row.resp_mac))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "state", rows().map(|row| row.state().label()))?;
    column(block, "history", rows().map(|row| row.history.as_str()))?;
    column(block, "orig_packets", rows().map(|row| row.orig_packets))?;
    column(block, "resp_packets", rows().map(|row| row.resp_packets))?;
    column(block, "orig_wire_bytes", rows().map(|row| row.orig_wire_bytes))?;
    column(block, "resp_wire_bytes", rows().map(|row| row.resp_wire_bytes))?;
    column(block, "orig_payload_bytes", rows().map(|row| row.orig_payload_bytes))?;
    column(block, "resp_payload_bytes", rows().map(|row| row.resp_payload_bytes))?;
    column(block, "payload_packets", rows().map(|row| row.payload_packets))?;
    column(block, "orig_retransmitted", rows().map(|row| row.orig_retransmitted))?;
    column(block, "resp_retransmitted", rows().map(|row| row.resp_retransmitted))?;
    column(block, "orig_syns", rows().map(|row| row.orig_syns))?;
    column(block, "unreachable", rows().map(|row| row.unreachable))?;
    column(block, "handshake_rtt_ns", rows().map(|row| row.handshake_rtt_ns.map_or(-1, rtt)))?;
    column(block, "only_syns", rows().map(|row| u8::from(row.only_syns)))?;
    column(block, "service", rows().map(|row| row.service().label()))?;
    column(block, "server_name", rows().map(|row| row.server_name.as_str()))?;
    column(block, "server_name_source", rows().map(|row| row.server_name_source().label()))?;
    column(block, "tls_version", rows().map(|row| narrow_u16(row.tls_version)))?;
    column(block, "tls_cipher", rows().map(|row| narrow_u16(row.tls_cipher)))?;
    column(block, "alpn", rows().map(|row| row.alpn.as_str()))?;
    column(block, "client_id_hash", rows().map(|row| hex(&row.client_id_hash)))
}

fn rtt(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
