//! Drops what is too old, counted from arrival, and the oldest of what is too much.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clickhouse::{Client, Row};
use iotq_proto::error::Chain;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Store;
use crate::metrics::Metrics;

/// How long and how much each table keeps.
#[derive(Clone, Copy, Debug)]
pub struct RetentionConfig {
    /// Packets.
    pub slices_days: u16,
    /// Octets of all tables on disk. `None`: as many as there is room for.
    pub max_bytes: Option<u64>,
}

impl From<u16> for RetentionConfig {
    fn from(slices_days: u16) -> Self {
        Self { slices_days, max_bytes: None }
    }
}

impl RetentionConfig {
    /// Table and days. The roll-ups outlive the packets: a minute's a year less
    /// two weeks (weeks are dropped whole, 50 partitions), an hour's two years,
    /// a day's ten.
    fn tables(self) -> [(&'static str, u16); 12] {
        [
            ("slices", self.slices_days),
            ("traffic_minute", 350),
            ("traffic_hour", 2 * 366),
            ("endpoint_hour", 2 * 366),
            ("traffic_day", 10 * 366),
            ("connections", 350),
            ("dns", 350),
            ("tls_hellos", 350),
            ("time_requests", 350),
            ("peer_names", 10 * 366),
            ("batches", 2 * 366),
            ("no_ip", 2 * 366),
        ]
    }

    /// `None`: for ever.
    pub(super) fn days_of(self, table: &str) -> Option<u16> {
        self.tables().into_iter().find(|(name, _)| *name == table).map(|(_, days)| days)
    }
}

/// Looks for what is too much once a minute, for what is too old once an hour, and for
/// both at the start.
pub async fn run(store: Store, config: RetentionConfig, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = interval(Duration::from_secs(60));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut minutes = 0_u64;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if minutes.is_multiple_of(60) {
            drop_old(&store, config, &metrics).await;
        }
        minutes += 1;
        if let Some(max_bytes) = config.max_bytes {
            match store.drop_beyond(max_bytes).await {
                Ok(dropped) => {
                    metrics.partitions_dropped.inc_by(dropped);
                }
                Err(error) => {
                    metrics.retention_failures.inc();
                    warn!(error = %Chain(&error), "the store is over its limit, partitions not dropped");
                }
            }
        }
    }
}

async fn drop_old(store: &Store, config: RetentionConfig, metrics: &Metrics) {
    for (table, days) in config.tables() {
        match store.drop_older_than(table, days).await {
            Ok(0) => {}
            Ok(dropped) => {
                metrics.partitions_dropped.inc_by(dropped);
                info!(table, dropped, days, "old partitions dropped");
            }
            Err(error) => {
                metrics.retention_failures.inc();
                warn!(table, error = %Chain(&error), "old partitions not dropped");
            }
        }
    }
}

/// A partition, as much of it as counts here.
#[derive(Clone, Debug, Deserialize, Row)]
struct Partition {
    table: String,
    partition_id: String,
    bytes: u64,
    /// Days since 1970.
    newest_day: u16,
}

impl Store {
    /// Drops every partition whose newest row arrived more than `days` ago.
    async fn drop_older_than(&self, table: &'static str, days: u16) -> clickhouse::error::Result<u64> {
        let mut dropped = 0;
        for shard in self.shards.iter() {
            dropped += drop_older_than(shard, table, days).await?;
        }
        Ok(dropped)
    }

    /// Drops whole partitions, the most detailed and oldest first, until all tables
    /// together, of each shard, are within `max_bytes`. Says how many.
    ///
    /// # Errors
    /// If ClickHouse does not answer.
    pub async fn drop_beyond(&self, max_bytes: u64) -> clickhouse::error::Result<u64> {
        let mut dropped = 0;
        for shard in self.shards.iter() {
            dropped += drop_beyond(shard, max_bytes).await?;
        }
        Ok(dropped)
    }
}

async fn drop_older_than(shard: &Client, table: &'static str, days: u16) -> clickhouse::error::Result<u64> {
    let sql = "SELECT partition_id FROM system.parts \
               WHERE database = currentDatabase() AND table = {table:String} AND active \
               GROUP BY partition_id HAVING max(max_date) < today() - {days:UInt16}";
    let query = shard.query_raw(sql).param("table", table).param("days", days);
    let mut dropped = 0;
    for partition_id in query.fetch_all::<String>().await? {
        drop_partition(shard, table, &partition_id).await?;
        dropped += 1;
    }
    Ok(dropped)
}

async fn drop_beyond(shard: &Client, max_bytes: u64) -> clickhouse::error::Result<u64> {
    let sql = "SELECT table, partition_id, sum(bytes_on_disk) AS bytes, toUInt16(max(max_date)) AS newest_day \
               FROM system.parts WHERE database = currentDatabase() AND active \
               GROUP BY table, partition_id ORDER BY newest_day, table, partition_id";
    let partitions = shard.query_raw(sql).fetch_all::<Partition>().await?;
    let (plan, left_bytes) = beyond(&partitions, max_bytes);
    for partition in &plan {
        let Some(table) = TIERS.iter().flat_map(|tier| *tier).find(|table| **table == partition.table) else {
            continue;
        };
        drop_partition(shard, table, &partition.partition_id).await?;
        let Partition { partition_id, bytes, .. } = partition;
        info!(table, partition_id, bytes, max_bytes, "partition dropped: the store is over its limit");
    }
    if left_bytes > max_bytes {
        warn!(bytes = left_bytes, max_bytes, "the store is over its limit, and what is left is never dropped for that");
    }
    Ok(plan.len() as u64)
}

/// `table` is one of ours.
async fn drop_partition(shard: &Client, table: &'static str, partition_id: &str) -> clickhouse::error::Result<()> {
    let sql = format!("ALTER TABLE {table} DROP PARTITION ID {{partition:String}}");
    shard.query_raw(&sql).param("partition", partition_id).execute().await
}
/// What has to go, and how many octets stay. `partitions` come oldest first.
fn beyond(partitions: &[Partition], max_bytes: u64) -> (Vec<Partition>, u64) {
    let mut left_bytes: u64 = partitions.iter().map(|partition| partition.bytes).sum();
    // A table's newest partition is where rows arrive: it and the tokens in it stay.
    let mut newest = BTreeMap::<String, u16>::new();
    for partition in partitions {
        let day = newest.entry(partition.table.clone()).or_default();
        *day = (*day).max(partition.newest_day);
    }
    let mut plan = Vec::new();
    for tier in TIERS {
        for partition in partitions {
            if left_bytes <= max_bytes {
                return (plan, left_bytes);
            }
            if tier.contains(&partition.table.as_str()) && partition.newest_day < newest[&partition.table] {
                left_bytes -= partition.bytes;
                plan.push(partition.clone());
            }
        }
    }
    (plan, left_bytes)
}

/// In which order tables give up their oldest partitions where there is too much. First
/// the packets: nine tenths of all octets, and their sums stay in the roll-ups. Last
/// what "first seen" is read from. Tables that are not here have the size of the house.
const TIERS: [&[&str]; 4] = [
    &["slices"],
    &["dns", "tls_hellos", "time_requests", "connections", "traffic_minute"],
    &["traffic_hour", "endpoint_hour", "no_ip", "batches"],
    &["peer_names", "traffic_day"],
];

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(table: &str, newest_day: u16, bytes: u64) -> Partition {
        Partition { table: table.into(), partition_id: newest_day.to_string(), bytes, newest_day }
    }

    fn planned(max_bytes: u64) -> (Vec<(String, u16)>, u64) {
        let partitions = vec![
            partition("endpoints", 0, 10),
            partition("traffic_day", 1, 10),
            partition("slices", 2, 100),
            partition("dns", 3, 40),
            partition("slices", 3, 100),
            partition("slices", 4, 100),
            partition("dns", 4, 40),
        ];
        let (plan, left) = beyond(&partitions, max_bytes);
        (plan.into_iter().map(|partition| (partition.table, partition.newest_day)).collect(), left)
    }

    #[test]
    fn the_oldest_packets_go_first_and_no_more_than_needed() {
        assert_eq!(planned(400), (vec![], 400));
        assert_eq!(planned(399), (vec![("slices".into(), 2)], 300));
        // The packets of the newest day stay.
        let three: Vec<(String, u16)> = vec![("slices".into(), 2), ("slices".into(), 3), ("dns".into(), 3)];
        assert_eq!(planned(190), (three, 160));
    }

    #[test]
    fn what_is_arriving_and_what_has_the_size_of_the_house_stays() {
        let (plan, left) = planned(1);
        assert_eq!(plan.last(), Some(&("dns".into(), 3)));
        assert_eq!((plan.len(), left), (3, 160));
    }

    #[test]
    fn every_table_with_days_is_in_one_tier() {
        let mut tiers: Vec<_> = TIERS.iter().flat_map(|tier| tier.iter().copied()).collect();
        let mut tables: Vec<_> = RetentionConfig::from(30).tables().into_iter().map(|(table, _)| table).collect();
        tiers.sort_unstable();
        tables.sort_unstable();
        assert_eq!(tiers, tables);
    }
}
