//! `time-servers`: whom devices ask for the time, and how often.

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces, octets};
use crate::{enrich::DeviceKey, findings::median_interval_secs};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let rows = analyst.store.time_servers(&asked.scope).await?;
    let mut pieces =
        Pieces::new(out, asked.scope.limit, |time_servers| v1::Rows { time_servers, ..v1::Rows::default() });
    for mut row in rows {
        let key = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip);
        let (device, device_name) = analyst.id_and_name(asked, key);
        let server_device = asked.device_at(row.server_ip);
        let server = analyst.peer_naming(asked, key, server_device, row.server_ip);
        let time_server = v1::TimeServer {
            device,
            device_name,
            server_ip: octets(row.server_ip),
            server_name: server.name,
            name_source: server.source.to_owned(),
            requests: row.requests,
            replies: row.replies,
            median_interval_secs: median_interval_secs(&mut row.requests_at_ns),
            first_at_ns: row.first_at_ns,
            last_at_ns: row.last_at_ns,
        };
        if !pieces.push(time_server).await? {
            break;
        }
    }
    pieces.end().await
}
