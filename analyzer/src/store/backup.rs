//! What a backup needs of the tables: all parts as of one moment, and back.

use std::path::PathBuf;

use clickhouse::Row;
use serde::Deserialize;

use super::{NotDurable, ReadError, Store};

/// A table whose parts are frozen.
#[derive(Clone, Debug, Deserialize, Row)]
pub struct FrozenTable {
    /// Its name.
    pub table: String,
    /// Under which the engine keeps its files.
    pub uuid: String,
    /// Whether it has rows.
    pub has_rows: bool,
}

/// Where a table takes parts from.
#[derive(Clone, Debug, Deserialize, Row)]
struct TablePath {
    table: String,
    path: String,
}

impl Store {
    /// Makes hard links of all parts of all tables, between two inserts, so that a batch is
    /// in all of them or in none. `name` is ours: letters, digits and
    /// `_`; anything else would be another name on the disk.
    ///
    /// # Errors
    /// If ClickHouse does not do it.
    pub async fn freeze(&self, name: &str) -> Result<Vec<FrozenTable>, ReadError> {
        let _no_inserts = self.storing.write().await;
        let sql = "SELECT name AS table, toString(uuid) AS uuid, toBool(assumeNotNull(total_rows) > 0) AS has_rows FROM system.tables \
                   WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'migrations' \
                   AND match(name, '^[a-z][a-z0-9_]*$') AND NOT startsWith(name, 'forgetting_') ORDER BY name";
        let tables = self.client().query_raw(sql).fetch_all::<FrozenTable>().await?;
        for FrozenTable { table, .. } in &tables {
            self.client().query_raw(&format!("ALTER TABLE {table} FREEZE WITH NAME '{name}'")).execute().await?;
        }
        Ok(tables)
    }

    /// Tables and the folders from which they take parts.
    ///
    /// # Errors
    /// If ClickHouse does not answer.
    pub async fn detached_folders(&self) -> Result<Vec<(String, PathBuf)>, ReadError> {
        let sql = "SELECT name AS table, data_paths[1] AS path FROM system.tables \
                   WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'migrations'";
        let rows = self.client().query_raw(sql).fetch_all::<TablePath>().await?;
        Ok(rows.into_iter().map(|row| (row.table, PathBuf::from(row.path).join("detached"))).collect())
    }

    /// Keeps parts as they are.
    ///
    /// # Errors
    /// If ClickHouse does not do it.
    pub async fn stop_merges(&self) -> Result<(), ReadError> {
        self.client().query_raw("SYSTEM STOP MERGES").execute().await
    }

    /// Takes all parts in the folder `detached`, reads them through, and says how many
    /// rows the table has. `None`: a part is damaged.
    ///
    /// # Errors
    /// If ClickHouse does not take them.
    pub async fn attach_all(&self, table: &str) -> Result<Option<u64>, ReadError> {
        self.client().query_raw(&format!("ALTER TABLE {table} ATTACH PARTITION ALL")).execute().await?;
        let check = self.client().query_raw(&format!("CHECK TABLE {table}"));
        let is_sound = check.with_setting("check_query_single_value_result", "1").fetch_one::<u8>().await? == 1;
        let rows = self.client().query_raw(&format!("SELECT count() FROM {table}")).fetch_one::<u64>().await?;
        Ok(is_sound.then_some(rows))
    }

    /// Returns when everything is on the disk.
    ///
    /// # Errors
    /// If the disk says so, or does not have what ClickHouse wrote.
    pub async fn sync(&self) -> Result<(), NotDurable> {
        match &self.durable {
            Some(durable) => durable.wait().await,
            None => Ok(()),
        }
    }
}
