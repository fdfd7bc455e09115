//! Makes and changes the tables, in numbered steps.
//!
//! A step is a file in `analyzer/migrations`; its statements ask whether they are
//! needed, so that a step that was cut short can be run again. A released file is
//! never edited: its checksum is stored with it and compared.

use std::time::Instant;

use clickhouse::{Client, Row, error::Error as ClickHouseError};
use iotq_proto::supervision;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{Schema, cluster::Ddl, read::EXTERNAL_BYTES};

/// Why the tables are not as we need them.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A statement failed.
    #[error("migration {version:04}_{name} failed")]
    Statement {
        /// Which step.
        version: u32,
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: ClickHouseError,
    },
    /// The list of steps cannot be read or written.
    #[error("table `migrations` of database `{database}` not usable")]
    List {
        /// Where.
        database: String,
        /// Why.
        #[source]
        source: ClickHouseError,
    },
    /// What stands for the tables of all shards cannot be made.
    #[error("tables of database `{database}` that stand for those of all shards not made")]
    Distributed {
        /// Where.
        database: String,
        /// Why.
        #[source]
        source: ClickHouseError,
    },
    /// A newer iotq was here.
    #[error(
        "database `{database}` was made by a newer iotq (schema {found}, this one knows {known}): upgrade this analyzer"
    )]
    Newer {
        /// Where.
        database: String,
        /// Newest step there.
        found: u32,
        /// Newest step here.
        known: u32,
    },
    /// A step was edited after it was applied.
    #[error("migration {version:04} in database `{database}` is another than this program's")]
    Edited {
        /// Where.
        database: String,
        /// Which.
        version: u32,
    },
}

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 15] = [
    Migration { version: 1, name: "slices", sql: include_str!("../../migrations/0001_slices.sql") },
    Migration { version: 2, name: "traffic", sql: include_str!("../../migrations/0002_traffic.sql") },
    Migration { version: 3, name: "batches", sql: include_str!("../../migrations/0003_batches.sql") },
    Migration { version: 4, name: "sightings", sql: include_str!("../../migrations/0004_sightings.sql") },
    Migration { version: 5, name: "connections", sql: include_str!("../../migrations/0005_connections.sql") },
    Migration { version: 6, name: "names", sql: include_str!("../../migrations/0006_names.sql") },
    Migration { version: 7, name: "plain_views", sql: include_str!("../../migrations/0007_plain_views.sql") },
    Migration { version: 8, name: "views_made_anew", sql: include_str!("../../migrations/0008_views_made_anew.sql") },
    Migration { version: 9, name: "smaller", sql: include_str!("../../migrations/0009_smaller.sql") },
    Migration {
        version: 10,
        name: "payload_from_lengths",
        sql: include_str!("../../migrations/0010_payload_from_lengths.sql"),
    },
    Migration { version: 11, name: "peer_names_told", sql: include_str!("../../migrations/0011_peer_names_told.sql") },
    Migration {
        version: 12,
        name: "connections_told",
        sql: include_str!("../../migrations/0012_connections_told.sql"),
    },
    Migration { version: 13, name: "minutes_by_hour", sql: include_str!("../../migrations/0013_minutes_by_hour.sql") },
    Migration { version: 14, name: "endpoint_hour", sql: include_str!("../../migrations/0014_endpoint_hour.sql") },
    Migration { version: 15, name: "smaller_again", sql: include_str!("../../migrations/0015_smaller_again.sql") },
];

const LIST: &str = "CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, checksum UInt64, \
                    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = ReplacingMergeTree ORDER BY version";

#[derive(Deserialize, Row, Serialize)]
struct Applied {
    version: u32,
    checksum: u64,
}

/// The newest step.
pub(super) const NEWEST: u32 = 15;

/// Applies what is missing on these servers, each of which has tables of its own; answers with the newest applied
/// step's number.
pub(super) async fn run(servers: &[&Client], database: &str, schema: Schema, ddl: &Ddl) -> Result<u32, MigrateError> {
    let list = |source| MigrateError::List { database: database.to_owned(), source };
    let mut heads = Vec::new();
    for server in servers {
        // The name was checked to be a plain identifier.
        let make = ddl.of(&format!("CREATE DATABASE IF NOT EXISTS {database}"));
        server.query_raw(&make).execute().await.map_err(list)?;
        let client = (*server).clone().with_database(database);
        client.query_raw(&ddl.of(LIST)).execute().await.map_err(list)?;
        let applied = client.query_raw("SELECT version, checksum FROM migrations FINAL ORDER BY version");
        let applied = applied.fetch_all::<Applied>().await.map_err(list)?;
        heads.push((client, applied));
    }
    let known = NEWEST;
    let wanted = match schema {
        Schema::Current => known,
        Schema::At(version) => version,
        Schema::AsItIs => 0,
    };
    let there = heads.iter().flat_map(|(_, applied)| applied).map(|applied| applied.version).max().unwrap_or_default();
    if schema == Schema::AsItIs {
        return Ok(there);
    }
    if there > known {
        return Err(MigrateError::Newer { database: database.to_owned(), found: there, known });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= wanted) {
        let mut lacking = Vec::new();
        for (client, applied) in &heads {
            match applied.iter().find(|applied| applied.version == migration.version) {
                Some(applied) if applied.checksum == checksum(migration.sql) => {}
                Some(_) => {
                    return Err(MigrateError::Edited { database: database.to_owned(), version: migration.version });
                }
                None => lacking.push(client),
            }
        }
        if lacking.is_empty() {
            continue;
        }
        if there > 0 {
            info!(
                version = migration.version,
                name = migration.name,
                "migrating: with much in the store this takes minutes"
            );
        }
        let started = Instant::now();
        // What runs on a whole cluster is sent to one server and needs all of them.
        let servers =
            if ddl.is_everywhere() { heads.iter().map(|(client, _)| client).collect() } else { lacking.clone() };
        supervision::while_starting(migration.run(&servers, ddl)).await?;
        for client in lacking {
            client
                .query_raw("INSERT INTO migrations (version, name, checksum) SELECT {version:UInt32}, {name:String}, {checksum:UInt64}")
                .param("version", migration.version)
                .param("name", migration.name)
                .param("checksum", checksum(migration.sql))
                .execute()
                .await
                .map_err(list)?;
        }
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(version = migration.version, name = migration.name, took_ms, "migrated");
    }
    Ok(wanted.max(there))
}

impl Migration {
    /// Each statement on all servers before the next: one that runs on a whole cluster must not take from a
    /// server what that has not copied yet.
    async fn run(&self, servers: &[&Client], ddl: &Ddl) -> Result<(), MigrateError> {
        let failed = |source| MigrateError::Statement { version: self.version, name: self.name, source };
        for statement in statements(self.sql) {
            let sent = ddl.of(&statement);
            // What was not changed is for one server.
            let everywhere = sent != statement;
            for client in servers.iter().take(if everywhere { 1 } else { servers.len() }) {
                // Sums of years need not fit into memory.
                let statement =
                    client.query_raw(&sent).with_setting("max_bytes_before_external_group_by", EXTERNAL_BYTES);
                statement.execute().await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// The statements of a file, without comment lines.
fn statements(sql: &str) -> Vec<String> {
    let code: String =
        sql.lines().filter(|line| !line.trim_start().starts_with("--")).flat_map(|line| [line, "\n"]).collect();
    code.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// FNV-1a (64 bits): tells an edited file, needs no secrecy.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Of all steps.
#[cfg(test)]
pub(super) fn all_statements() -> impl Iterator<Item = String> {
    MIGRATIONS.iter().flat_map(|migration| statements(migration.sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.version).unwrap(), index + 1);
        }
        assert_eq!(MIGRATIONS.last().map(|migration| migration.version), Some(NEWEST));
    }

    #[test]
    fn every_statement_asks_whether_it_is_needed() {
        for statement in all_statements() {
            // A view that has its query already gets the same one again, rows that were changed are not found again,
            // and a table that is made anew is empty before.
            let words = [
                "IF NOT EXISTS",
                "IF EXISTS",
                "MODIFY QUERY",
                "WHERE length(overhead_bytes) != length(wire_bytes)",
                "INSERT INTO traffic_minute_anew",
                "INSERT INTO endpoint_hour",
                "EXCHANGE TABLES",
            ];
            let may_run_again = words.iter().any(|words| statement.contains(words));
            assert!(may_run_again, "{statement}");
        }
    }
}
