//! `connections`: who opened them, how they went, which are open.

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces, keepalives::Periods, octets};
use crate::{
    enrich::DeviceKey,
    store::{ConnectionRow, ConnectionsFilter},
};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::ConnectionsQuestion,
    out: &Out,
) -> Result<(), AskError> {
    out.header(asked).await?;
    let periods = if question.open { analyst.periods(asked).await? } else { Periods::default() };
    let filter = ConnectionsFilter {
        only_open: question.open,
        states: question.states,
        longer_than_ns: i64::try_from(question.longer_than_ns).unwrap_or(i64::MAX),
    };
    let mut rows = analyst.store.connections(&asked.scope, &filter)?;
    let mut pieces = Pieces::new(out, asked.scope.limit, |connections| v1::Rows { connections, ..v1::Rows::default() });
    while let Some(row) = rows.next().await? {
        if !pieces.push(connection(analyst, asked, row, &periods)).await? {
            break;
        }
    }
    pieces.end().await
}

fn connection(analyst: &Analyst, asked: &Asked, row: ConnectionRow, periods: &Periods) -> v1::Connection {
    let keepalive_period_secs = periods.of(&row);
    let orig_key = DeviceKey::from_columns(row.orig_device_mac, row.orig_device_vlan_id, row.orig_device_ip);
    let resp_key = DeviceKey::from_columns(row.resp_device_mac, row.resp_device_vlan_id, row.resp_device_ip);
    let orig = analyst.peer_naming(asked, resp_key, orig_key, row.orig_ip);
    let resp = analyst.peer_naming(asked, orig_key, resp_key, row.resp_ip);
    // What was said on the connection itself beats what is known of the address.
    let said = !row.server_name.is_empty() && resp_key.is_none() && resp.source != "user";
    let resp = if said { (row.server_name, row.server_name_source) } else { (resp.name, resp.source.to_owned()) };
    // The device is the originator, if it is one; else whom it reached.
    let (key, peer) = match (orig_key, resp_key) {
        (None, Some(key)) => (Some(key), (orig.name.clone(), orig.source.to_owned())),
        (key, _) => (key, resp.clone()),
    };
    let (device, device_name) = analyst.id_and_name(asked, key);
    let port = |port: u16| (row.has_ports == 1).then_some(u32::from(port));
    v1::Connection {
        keepalive_period_secs,
        orig_ip: octets(row.orig_ip),
        orig_port: port(row.orig_port),
        resp_ip: octets(row.resp_ip),
        resp_port: port(row.resp_port),
        ip_version: row.ip_version.into(),
        protocol: row.protocol.into(),
        state: row.state,
        started_at_ns: row.started_at_ns,
        ended_at_ns: (row.is_open == 0).then_some(row.last_at_ns),
        last_at_ns: row.last_at_ns,
        orig_packets: row.orig_packets,
        resp_packets: row.resp_packets,
        orig_wire_bytes: row.orig_wire_bytes,
        resp_wire_bytes: row.resp_wire_bytes,
        device,
        device_name,
        peer_name: peer.0,
        name_source: peer.1,
        orig_name: orig.name,
        resp_name: resp.0,
        history: row.history,
        service: row.service,
        orig_payload_bytes: row.orig_payload_bytes,
        resp_payload_bytes: row.resp_payload_bytes,
        orig_retransmitted: row.orig_retransmitted,
        resp_retransmitted: row.resp_retransmitted,
        handshake_rtt_ns: u64::try_from(row.handshake_rtt_ns).ok(),
        tls_version: row.tls_version.into(),
        end: if row.is_open == 1 { String::new() } else { row.end },
        collector: row.collector,
        also_seen_by: row.also_seen_by,
    }
}
