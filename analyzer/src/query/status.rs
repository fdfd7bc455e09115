//! `status`: the path stage by stage.

use std::collections::BTreeMap;

use iotq_proto::{UndecodedReason, v1};

use super::{
    Analyst, AskError, Asked, Out,
    coverage::{gap, losses},
};
use crate::{
    clock::now_ns,
    coverage::Coverage,
    enrich::OUI_DATE,
    ingest::Connected,
    store::{CollectorRow, Scope, TimeRange},
};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let wanted = &asked.scope.collectors;
    let store = &analyst.store;
    let (rows, no_ip, tables, free_bytes) =
        tokio::try_join!(store.collectors(wanted), store.no_ip(wanted), store.tables(), store.free_bytes())?;

    let mut collectors = BTreeMap::new();
    for row in rows {
        let by_protocol = no_ip.iter().filter(|count| count.collector == row.collector);
        let no_ip_by_protocol = by_protocol
            .map(|count| v1::NoIpCount {
                link_protocol: count.link_protocol,
                mac: 0,
                frames: count.frames,
                wire_bytes: count.wire_bytes,
            })
            .collect();
        collectors.insert(row.collector.clone(), stored(&row, no_ip_by_protocol));
    }
    for connected in analyst.registry.connected() {
        let name = connected.collector.to_string();
        if wanted.is_empty() || wanted.contains(&name) {
            let status = collectors.entry(name.clone());
            note_connected(
                status.or_insert_with(|| v1::CollectorStatus { collector: name, ..Default::default() }),
                connected,
            );
        }
    }
    for (collector, spool) in analyst.registry.spools() {
        if let Some(status) = collectors.get_mut(collector.as_str()) {
            status.spool = Some(spool);
        }
    }
    let scope = Scope { range: TimeRange { since_ns: None, until_ns: None }, ..asked.scope.clone() };
    let holdings = analyst.holdings().await?;
    for found in Coverage::read(store, &scope, &holdings.kept, now_ns()).await?.gaps {
        if let Some(status) = collectors.get_mut(&found.collector)
            && status.gaps.len() < GAPS_SHOWN
        {
            status.gaps.push(gap(found));
        }
    }
    let about = store.about();
    let growth = store.growth(&tables, free_bytes, now_ns());
    let versions = [
        ("analyzer", env!("CARGO_PKG_VERSION").to_owned()),
        ("clickhouse", about.version.clone()),
        ("schema", about.schema.to_string()),
        ("oui", OUI_DATE.to_owned()),
    ];
    let status = v1::Status {
        collectors: collectors.into_values().collect(),
        store: Some(v1::StoreStatus {
            retention_bytes: about.retention_bytes,
            bytes_per_day: tables.iter().map(|row| row.bytes_per_day).sum(),
            days_left: growth,
            tables: tables
                .into_iter()
                .map(|row| v1::TableStatus {
                    retention_days: store.retention_days_of(&row.table).map(u32::from),
                    table: row.table,
                    bytes: row.bytes,
                    rows: row.rows,
                    oldest_at_ns: (row.oldest_day != 0).then(|| i64::from(row.oldest_day) * NANOS_PER_DAY),
                    bytes_per_day: row.bytes_per_day,
                })
                .collect(),
            oldest_at_ns: store.oldest_sealed_at().await?,
            kind: about.kind.clone(),
            free_bytes,
            full: store.fullness().borrow().clone().unwrap_or_default(),
        }),
        certificate_expires_at_ns: analyst.certificate_expires_at_ns(),
        versions: versions.into_iter().map(|(program, version)| (program.to_owned(), version)).collect(),
    };
    out.rows(v1::Rows { status: vec![status], ..v1::Rows::default() }).await?;
    out.trailer(false).await
}

fn stored(row: &CollectorRow, no_ip_by_protocol: Vec<v1::NoIpCount>) -> v1::CollectorStatus {
    let has_time = row.covered_until_at_ns != 0;
    v1::CollectorStatus {
        collector: row.collector.clone(),
        last_batch_at_ns: Some(row.last_batch_at_ns),
        batches: row.batches,
        frames: row.frames,
        stored_packets: row.packets,
        no_ip: row.no_ip,
        undecoded: row.undecoded.iter().map(|(_, frames)| frames).sum(),
        lost_by_stage: losses(&row.lost),
        undecoded_by_reason: undecoded(&row.undecoded),
        no_ip_by_protocol,
        clamped_times: row.clamped_times,
        covered_from_at_ns: has_time.then_some(row.covered_from_at_ns),
        covered_until_at_ns: has_time.then_some(row.covered_until_at_ns),
        ..v1::CollectorStatus::default()
    }
}

fn note_connected(status: &mut v1::CollectorStatus, connected: Connected) {
    status.connected = true;
    status.version = connected.version;
    status.inputs = connected.inputs;
    status.certificate_expires_at_ns = connected.certificate_expires_at.map(|secs| secs.saturating_mul(1_000_000_000));
}

fn undecoded(counts: &[(String, u64)]) -> Vec<v1::UndecodedCount> {
    let reason = |label: &str| REASONS.into_iter().find(|reason| reason.label() == label).unwrap_or_default();
    counts.iter().map(|(label, frames)| v1::UndecodedCount { reason: reason(label).into(), frames: *frames }).collect()
}

const NANOS_PER_DAY: i64 = 24 * 3600 * 1_000_000_000;
/// Of each collector; more is history.
const GAPS_SHOWN: usize = 10;

const REASONS: [UndecodedReason; 7] = [
    UndecodedReason::LinkType,
    UndecodedReason::LinkHeaderCut,
    UndecodedReason::LinkHeader,
    UndecodedReason::IpHeaderCut,
    UndecodedReason::IpVersion,
    UndecodedReason::IpHeaderLength,
    UndecodedReason::IpTotalLength,
];
