//! `connections`: five-tuples, by who began.

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces, octets};
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
    if !question.states.is_empty() {
        return Err(AskError::Question(
            "states of connections are not known yet; they come with the next release".into(),
        ));
    }
    let covered = analyst.covered(asked).await?;
    // Nothing is known beyond the last packet time that was reported.
    let open_at_ns = asked.scope.range.until_ns.unwrap_or(i64::MAX).min(covered.coverage_last_at_ns);
    out.header(asked, covered.coverage).await?;
    let filter = ConnectionsFilter {
        open_at_ns,
        only_open: question.open,
        longer_than_ns: i64::try_from(question.longer_than_ns).unwrap_or(i64::MAX),
    };
    let mut rows = analyst.store.connections(&asked.scope, filter)?;
    let mut pieces = Pieces::new(out, asked.scope.limit, |connections| v1::Rows { connections, ..v1::Rows::default() });
    while let Some(row) = rows.next().await? {
        if !pieces.push(connection(analyst, asked, &row)).await? {
            break;
        }
    }
    pieces.end().await
}

fn connection(analyst: &Analyst, asked: &Asked, row: &ConnectionRow) -> v1::Connection {
    let a_device = DeviceKey::from_columns(row.a_device_mac, row.a_device_vlan_id, row.a_device_ip);
    let b_device = DeviceKey::from_columns(row.b_device_mac, row.b_device_vlan_id, row.b_device_ip);
    let a = (row.a_ip, row.a_port, row.a_packets, row.a_wire_bytes, a_device);
    let b = (row.b_ip, row.b_port, row.b_packets, row.b_wire_bytes, b_device);
    let (orig, resp) = if row.orig_is_a == 1 { (a, b) } else { (b, a) };
    // The device is the originator, if it is one; else whom it reached.
    let (device, peer, peer_ip) = match (orig.4, resp.4) {
        (Some(orig), peer) => (Some(orig), peer, resp.0),
        (None, device) => (device, None, orig.0),
    };
    let port = |port: u16| (row.has_ports == 1).then_some(u32::from(port));
    let (orig_name, _) = analyst.peer_naming(asked, orig.4, orig.0.to_canonical());
    let (resp_name, _) = analyst.peer_naming(asked, resp.4, resp.0.to_canonical());
    let (peer_name, name_source) = analyst.peer_naming(asked, peer, peer_ip.to_canonical());
    v1::Connection {
        orig_ip: octets(orig.0),
        orig_port: port(orig.1),
        resp_ip: octets(resp.0),
        resp_port: port(resp.1),
        ip_version: row.ip_version.into(),
        protocol: row.protocol.into(),
        state: String::new(),
        started_at_ns: row.first_at_ns,
        ended_at_ns: (row.is_open == 0).then_some(row.last_at_ns),
        last_at_ns: row.last_at_ns,
        orig_packets: orig.2,
        resp_packets: resp.2,
        orig_wire_bytes: orig.3,
        resp_wire_bytes: resp.3,
        device: device.map(|key| key.to_string()).unwrap_or_default(),
        device_name: device.map(|key| analyst.naming(asked, key).name).unwrap_or_default(),
        peer_name,
        name_source: name_source.to_owned(),
        orig_name,
        resp_name,
        ..v1::Connection::default()
    }
}
