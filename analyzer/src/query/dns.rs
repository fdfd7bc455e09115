//! `dns`: what devices asked name servers.

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, octets, tell_in_time};
use crate::{enrich::DeviceKey, store::DnsRow};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let rows = analyst.store.dns(&asked.scope)?;
    let wrap = |dns| v1::Rows { dns, ..v1::Rows::default() };
    tell_in_time(out, &asked.scope, rows, wrap, |row| question(analyst, asked, row)).await
}

fn question(analyst: &Analyst, asked: &Asked, row: DnsRow) -> v1::Dns {
    let key = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip);
    let (device, device_name) = analyst.id_and_name(asked, key);
    let fields = row.answer_names.into_iter().zip(row.answer_types).zip(row.answer_ttl_secs).zip(row.answer_data);
    let answers = fields
        .map(|(((name, code), ttl_secs), data)| v1::DnsRecord { name, r#type: code.into(), ttl_secs, data })
        .collect();
    v1::Dns {
        asked_at_ns: row.asked_at_ns,
        kind: row.kind,
        device,
        device_name,
        client_ip: octets(row.client_ip),
        server_ip: octets(row.server_ip),
        qname: row.qname,
        qtype: row.qtype.into(),
        rcode: row.rcode.map(u32::from),
        answered_at_ns: row.answered_at_ns,
        answers,
        protocol: row.protocol.into(),
        collector: row.collector,
        also_seen_by: row.also_seen_by,
    }
}
