//! `top-talkers`: which devices say most.

use std::{collections::HashMap, sync::Arc, time::Duration};

use iotq_proto::v1::{self, top_talkers_question::Order};

use super::{Analyst, AskError, Asked, Out, Pieces, octets, rate, share};
use crate::{
    enrich::DeviceKey,
    store::{ReadError, Scope, TimeRange, TopTalkersOrder},
};

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
    out.header(asked).await?;
    let (rows, usual) = tokio::try_join!(analyst.store.top_talkers(&asked.scope, order), usual(analyst, asked))?;
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
            packets_per_minute: rate(row.packets, asked.covered.minutes),
            awake_packets_per_minute: rate(row.packets, awake_minutes),
            peers: row.peers,
            share: match order {
                TopTalkersOrder::Bytes => share(row.wire_bytes, row.all_wire_bytes),
                TopTalkersOrder::Packets | TopTalkersOrder::Rate => share(row.packets, row.all_packets),
            },
            usual_packets_per_minute: usual.packets_per_minute.get(&key).copied(),
            ..v1::TopTalker::default()
        };
        if !pieces.push(talker).await? {
            break;
        }
    }
    pieces.end().await
}

/// What is usual for devices, and of which packets.
#[derive(Debug)]
pub(super) struct Usual {
    scope: Scope,
    packets_per_minute: HashMap<DeviceKey, f64>,
}

/// What each device's packets a minute usually are, from the whole clock hours of
/// the week before the range. That of a week is the same for an hour, and takes longer to
/// find than the rest of the answer: it is kept for a minute, unless something is stored
/// that is not of just now.
async fn usual(analyst: &Analyst, asked: &Asked) -> Result<Arc<Usual>, ReadError> {
    let Some(since_ns) = asked.scope.range.since_ns else {
        return Ok(Arc::new(Usual { scope: asked.scope.clone(), packets_per_minute: HashMap::new() }));
    };
    let until_ns = since_ns - since_ns.rem_euclid(HOUR_NS);
    let range = TimeRange { since_ns: Some(until_ns.saturating_sub(BASELINE_NS)), until_ns: Some(until_ns) };
    let scope = Scope { range, limit: 0, ..asked.scope.clone() };
    let generation = analyst.registry.generation();
    if let Some(usual) = analyst.usual.find(generation, USUAL_AGE)
        && usual.scope.is_about_the_same(&scope)
        && scope.explained.is_none()
    {
        return Ok(usual);
    }
    let rows = analyst.store.usual(&scope, LEAST_HOURS).await?;
    let usual =
        rows.into_iter().filter_map(|row| Some((DeviceKey::from_columns(row.mac, row.vlan_id, row.ip)?, row.usual)));
    let usual = Arc::new(Usual { packets_per_minute: usual.collect(), scope });
    analyst.usual.put(generation, &usual);
    Ok(usual)
}

/// So late may it be that it changed: by the last seconds of an hour, or by another analyzer of a cluster.
const USUAL_AGE: Duration = Duration::from_secs(60);

const HOUR_NS: i64 = 3600 * 1_000_000_000;
/// A week has all habits of a household in it.
const BASELINE_NS: i64 = 168 * HOUR_NS;
/// A median of fewer is no habit; and the first hour of a capture is a part of one.
const LEAST_HOURS: u64 = 3;
