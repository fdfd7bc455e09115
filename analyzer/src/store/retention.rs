//! Drops partitions whose time is up, counted from arrival.

use std::{sync::Arc, time::Duration};

use clickhouse::Row;
use iotq_proto::error::Chain;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Store;
use crate::metrics::Metrics;

/// How long each table keeps its rows.
#[derive(Clone, Copy, Debug)]
pub struct RetentionConfig {
    /// Packets.
    pub slices_days: u16,
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
            ("traffic_day", 10 * 366),
            ("connection_updates", self.slices_days),
            ("connections", 350),
            ("dns", 350),
            ("tls_hellos", 350),
            ("time_requests", 350),
            ("peer_names", 10 * 366),
            ("batches", 2 * 366),
            ("no_ip", 2 * 366),
        ]
    }
}

/// Looks once an hour, and once at the start.
pub async fn run(store: Store, config: RetentionConfig, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = interval(Duration::from_secs(3600));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
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
}

impl Store {
    /// Drops every partition whose newest row arrived more than `days` ago.
    async fn drop_older_than(&self, table: &'static str, days: u16) -> clickhouse::error::Result<u64> {
        #[derive(Deserialize, Row)]
        struct Partition {
            partition_id: String,
        }
        let sql = "SELECT partition_id FROM system.parts \
                   WHERE database = currentDatabase() AND table = {table:String} AND active \
                   GROUP BY partition_id HAVING max(max_date) < today() - {days:UInt16}";
        let old = self.client.query_raw(sql).param("table", table).param("days", days).fetch_all::<Partition>().await?;
        let mut dropped = 0;
        for Partition { partition_id } in old {
            let sql = format!("ALTER TABLE {table} DROP PARTITION ID {{partition:String}}");
            self.client.query_raw(&sql).param("partition", partition_id).execute().await?;
            dropped += 1;
        }
        Ok(dropped)
    }
}
