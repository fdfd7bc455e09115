//! `top-talkers`: which devices say most.

use iotq_proto::v1::{self, top_talkers_question::Order};

use super::{Analyst, AskError, Asked, Out, Pieces, octets, rate, share};
use crate::{enrich::DeviceKey, store::TopTalkersOrder};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::TopTalkersQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let order = match question.order() {
        Order::Unspecified | Order::Packets => TopTalkersOrder::Packets,
        Order::Bytes => TopTalkersOrder::Bytes,
        Order::Rate => TopTalkersOrder::Rate,
    };
    let covered = analyst.covered(asked).await?;
    out.header(asked, covered.coverage).await?;
    let rows = analyst.store.top_talkers(&asked.scope, order).await?;
    let mut pieces = Pieces::new(out, asked.scope.limit, |top_talkers| v1::Rows { top_talkers, ..v1::Rows::default() });
    for row in rows {
        let Some(key) = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip) else { continue };
        let naming = analyst.naming(asked, key);
        #[expect(clippy::cast_precision_loss, reason = "minutes need no more than 52 bits")]
        let awake_minutes = row.awake_minutes.max(1) as f64;
        let talker = v1::TopTalker {
            device: key.to_string(),
            name: naming.name,
            vendor: naming.vendor,
            groups: naming.groups,
            ips: row.ips.into_iter().map(octets).collect(),
            packets: row.packets,
            wire_bytes: row.wire_bytes,
            packets_per_minute: rate(row.packets, covered.minutes),
            awake_packets_per_minute: rate(row.packets, awake_minutes),
            peers: row.peers,
            share: match order {
                TopTalkersOrder::Bytes => share(row.wire_bytes, row.all_wire_bytes),
                TopTalkersOrder::Packets | TopTalkersOrder::Rate => share(row.packets, row.all_packets),
            },
            ..v1::TopTalker::default()
        };
        if !pieces.push(talker).await? {
            break;
        }
    }
    pieces.end().await
}
