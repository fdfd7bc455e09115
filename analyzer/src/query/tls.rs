//! `tls`: whom devices greet, and how.

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, octets, tell_in_time};
use crate::{enrich::DeviceKey, store::TlsRow};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let rows = analyst.store.tls(&asked.scope)?;
    let wrap = |tls| v1::Rows { tls, ..v1::Rows::default() };
    tell_in_time(out, &asked.scope, rows, wrap, |row| hello(analyst, asked, row)).await
}

fn hello(analyst: &Analyst, asked: &Asked, row: TlsRow) -> v1::Tls {
    let key = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip);
    let (device, device_name) = analyst.id_and_name(asked, key);
    v1::Tls {
        seen_at_ns: row.seen_at_ns,
        device,
        device_name,
        client_ip: octets(row.client_ip),
        server_ip: octets(row.server_ip),
        server_port: row.server_port.into(),
        transport: row.transport,
        version: row.version.into(),
        sni: row.sni,
        alpn: row.alpn,
        ja4: row.ja4,
        ech: row.ech == 1,
        client_port: row.client_port.into(),
        collector: row.collector,
        also_seen_by: row.also_seen_by,
    }
}
