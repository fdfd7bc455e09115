//! `conversations`: packets and octets between two addresses.

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces, octets};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let mut rows = analyst.store.conversations(&asked.scope)?;
    let mut pieces =
        Pieces::new(out, asked.scope.limit, |conversations| v1::Rows { conversations, ..v1::Rows::default() });
    while let Some(row) = rows.next().await? {
        let conversation = v1::Conversation {
            a_ip: octets(row.a_ip),
            b_ip: octets(row.b_ip),
            ip_version: row.ip_version.into(),
            a_packets: row.a_packets,
            b_packets: row.b_packets,
            a_wire_bytes: row.a_wire_bytes,
            b_wire_bytes: row.b_wire_bytes,
            first_at_ns: row.first_at_ns,
            last_at_ns: row.last_at_ns,
        };
        if !pieces.push(conversation).await? {
            break;
        }
    }
    pieces.end().await
}
