//! A ClickHouse cluster.
//!
//! Each shard has the tables of a single server, with their views and roll-ups, in a
//! database beside the one that is asked (`iotq_shard` for `iotq`). In the latter a
//! `Distributed` table of the same name stands for those of all shards. So steps, inserts
//! and questions are the same text for a server and for a cluster.
//!
//! Rows go to the shard of their collector, in the foreground: an insert that is repeated,
//! by whichever server, meets the tokens it left.

use clickhouse::{Client, Row};
use serde::Deserialize;
use tracing::{info, warn};

use super::{MigrateError, OpenError, Schema, Server, check_version, connect, migrate};

/// Which cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterConfig {
    /// Its name in the servers' `remote_servers`.
    pub name: String,
    /// `http(s)://host:port` of at least one server of each shard; the first that answers is asked.
    pub urls: Vec<String>,
}

/// What is there after a start.
pub(super) struct Opened {
    /// Servers and their URLs, any of which answers for all shards.
    pub(super) asked: Vec<(String, Client)>,
    /// The tables of each shard.
    pub(super) shards: Vec<Client>,
    pub(super) version: String,
    pub(super) schema: u32,
}

/// Where a statement that makes or changes tables runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ddl {
    /// On the server that gets it.
    Here,
    /// On all servers of this cluster, with tables that replicas share through Keeper.
    OnCluster(String),
}

impl Ddl {
    /// Whether one server has it done on all of them.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(self, Self::OnCluster(_))
    }
}

struct Member {
    url: String,
    client: Client,
    version: String,
    place: Place,
}

/// What a server says of a cluster it belongs to.
#[derive(Clone, Copy, Debug, Deserialize, Row)]
struct Place {
    /// Its own; 0: it is not in the cluster.
    shard: u32,
    shards: u64,
    replicas: u64,
    has_keeper: bool,
}

#[derive(Deserialize, Row)]
struct Wanted {
    name: String,
    is_view: bool,
    /// A view's.
    select: String,
    is_as_wanted: bool,
}

/// Connects to the servers, makes what is missing on each.
pub(super) async fn open(server: &Server, cluster: &ClusterConfig, schema: Schema) -> Result<Opened, OpenError> {
    let members = members(server, cluster).await?;
    let first = &members[0];
    let Place { shards, replicas, has_keeper, .. } = first.place;
    let name = &cluster.name;
    if replicas > 1 && !has_keeper {
        return Err(OpenError::NoKeeper { cluster: name.clone(), url: first.url.clone() });
    }
    // One of each shard; further ones are replicas, where the first one's statements run as well.
    let mut heads: Vec<&Member> = Vec::new();
    for member in &members {
        if heads.iter().all(|head| head.place.shard != member.place.shard) {
            heads.push(member);
        }
    }
    if heads.len() as u64 != shards {
        let reached = heads.len() as u64;
        return Err(OpenError::ShardsMissing { cluster: name.clone(), shards, reached });
    }
    let ddl = if has_keeper { Ddl::OnCluster(name.clone()) } else { Ddl::Here };
    info!(cluster = name, shards, replicas, has_keeper, "ClickHouse cluster");
    let tables = format!("{}_shard", server.database);
    let clients: Vec<_> = heads.iter().map(|head| &head.client).collect();
    let applied = migrate::run(&clients, &tables, schema, &ddl).await?;
    for member in &members {
        stand_for_all(member, server, name, &tables, &ddl).await?;
    }
    let asked = members
        .iter()
        .map(|member| (member.url.clone(), settled(member.client.clone()).with_database(&server.database)));
    Ok(Opened {
        asked: asked.collect(),
        shards: heads.iter().map(|head| head.client.clone().with_database(&tables)).collect(),
        version: first.version.clone(),
        schema: applied,
    })
}

/// What a `Distributed` table needs to be told.
fn settled(client: Client) -> Client {
    client
        // An insert is done when the shard has it.
        .with_setting("distributed_foreground_insert", "1")
        // What is looked up in another table is looked up in all shards.
        .with_setting("distributed_product_mode", "global")
        // An answer without a shard would be a wrong one.
        .with_setting("skip_unavailable_shards", "0")
}

/// The servers that answer, in the order of their URLs.
async fn members(server: &Server, cluster: &ClusterConfig) -> Result<Vec<Member>, OpenError> {
    let mut members = Vec::new();
    let mut unreachable = None;
    for url in &cluster.urls {
        let server = Server { url: url.clone(), ..server.clone() };
        let client = connect(&server)?;
        let version = match check_version(&client, &server).await {
            Ok(version) => version,
            Err(error @ OpenError::Unreachable { .. }) => {
                warn!(url, "this server of the cluster does not answer");
                unreachable = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let sql = "SELECT toUInt32(maxIf(shard_num, is_local)) AS shard, uniqExact(shard_num) AS shards, \
                   toUInt64(max(replica_num)) AS replicas, \
                   toBool(assumeNotNull((SELECT count() > 0 FROM system.tables WHERE database = 'system' AND name = 'zookeeper_connection'))) AS has_keeper \
                   FROM system.clusters WHERE cluster = {cluster:String}";
        let place = client.query_raw(sql).param("cluster", &cluster.name).fetch_one::<Place>().await;
        let place = place.map_err(|source| OpenError::Other { url: url.clone(), source })?;
        if place.shard == 0 {
            return Err(OpenError::NotInCluster { url: url.clone(), cluster: cluster.name.clone() });
        }
        members.push(Member { url: url.clone(), client, version, place });
    }
    match unreachable {
        Some(error) if members.is_empty() => Err(error),
        _ => Ok(members),
    }
}

/// Makes the tables that stand for those of all shards, where they are missing or differ.
async fn stand_for_all(
    member: &Member,
    server: &Server,
    cluster: &str,
    tables: &str,
    ddl: &Ddl,
) -> Result<(), OpenError> {
    let (client, database) = (&member.client, &server.database);
    let failed = |source| MigrateError::Distributed { database: database.clone(), source };
    // The names were checked to be plain identifiers.
    let run = async |sql: String| client.query_raw(&ddl.of(&sql)).execute().await.map_err(failed);
    run(format!("CREATE DATABASE IF NOT EXISTS {database}")).await?;
    let sql = "SELECT count() FROM system.tables WHERE database = {database:String} AND engine NOT IN ('Distributed', 'View')";
    let others = client.query_raw(sql).param("database", database).fetch_one::<u64>().await;
    if others.map_err(failed)? > 0 {
        return Err(OpenError::NotOfCluster { database: database.clone(), url: member.url.clone() });
    }
    let wanted = client.query_raw(WANTED).param("database", database).param("tables", tables);
    let wanted = wanted.fetch_all::<Wanted>().await.map_err(failed)?;
    for Wanted { name, is_view, select, .. } in wanted.iter().filter(|wanted| !wanted.is_as_wanted) {
        let sql = if *is_view {
            format!("CREATE OR REPLACE VIEW {database}.{name} AS {select}")
        } else {
            let key = if name == "given_names" { "device" } else { "collector" };
            format!(
                "CREATE OR REPLACE TABLE {database}.{name} AS {tables}.{name} \
                 ENGINE = Distributed('{cluster}', '{tables}', '{name}', cityHash64(toString({key})))"
            )
        };
        run(sql).await?;
    }
    Ok(())
}

impl Ddl {
    /// The statement as it is to be sent.
    pub(super) fn of(&self, statement: &str) -> String {
        let Self::OnCluster(cluster) = self else { return statement.to_owned() };
        if statement.starts_with("EXCHANGE TABLES ") {
            return format!("{statement} ON CLUSTER '{cluster}'");
        }
        let Some(head) = HEADS.iter().find(|head| statement.starts_with(**head)) else { return statement.to_owned() };
        let (_, rest) = statement.split_at(head.len());
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let rest = ENGINES.iter().fold(rest.to_owned(), |rest, engine| {
            rest.replace(&format!("ENGINE = {engine}MergeTree"), &format!("ENGINE = Replicated{engine}MergeTree"))
        });
        let rest = rest.replace("non_replicated_deduplication_window", "replicated_deduplication_window");
        format!("{head}{name} ON CLUSTER '{cluster}'{rest}")
    }
}

/// How statements begin that make or change something with a name.
const HEADS: [&str; 9] = [
    "CREATE DATABASE IF NOT EXISTS ",
    "CREATE TABLE IF NOT EXISTS ",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS ",
    "CREATE VIEW IF NOT EXISTS ",
    "CREATE OR REPLACE TABLE ",
    "CREATE OR REPLACE VIEW ",
    "DROP VIEW IF EXISTS ",
    "DROP TABLE IF EXISTS ",
    "ALTER TABLE ",
];

/// What comes before `MergeTree`.
const ENGINES: [&str; 3] = ["", "Aggregating", "Replacing"];

/// Tables and views of a shard, and whether those that stand for them are there and have
/// the same columns.
const WANTED: &str = "
SELECT
    name, engine = 'View' AS is_view,
    replaceAll(as_select, concat({tables:String}, '.'), concat({database:String}, '.')) AS select,
    name IN (SELECT name FROM system.tables WHERE database = {database:String}) AND name NOT IN
    (
        SELECT table
        FROM system.columns
        WHERE database IN ({database:String}, {tables:String})
        GROUP BY table, name, type, default_kind
        HAVING uniqExact(database) = 1
    ) AS is_as_wanted
FROM system.tables
WHERE database = {tables:String} AND name != 'migrations' AND NOT startsWith(name, 'forgetting_')
    AND (engine LIKE '%MergeTree' OR engine = 'View')
ORDER BY is_view, name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_on_all_servers_with_replicated_tables() {
        let ddl = Ddl::OnCluster("house".to_owned());
        for statement in migrate::all_statements() {
            let sent = ddl.of(&statement);
            // Rows are copied on each server; `migrate` does that.
            if statement.starts_with("INSERT ") {
                assert_eq!(sent, statement);
                continue;
            }
            assert_eq!(sent.matches(" ON CLUSTER 'house'").count(), 1, "{sent}");
            assert_eq!(sent.matches("MergeTree").count(), sent.matches("Replicated").count(), "{sent}");
            assert!(!sent.contains("non_replicated"), "{sent}");
            assert_eq!(Ddl::Here.of(&statement), statement);
        }
        let sent = ddl.of("CREATE TABLE IF NOT EXISTS t (a Date) ENGINE = ReplacingMergeTree(a)\nORDER BY a\nSETTINGS non_replicated_deduplication_window = 1000");
        let wanted = "CREATE TABLE IF NOT EXISTS t ON CLUSTER 'house' (a Date) ENGINE = ReplicatedReplacingMergeTree(a)\n\
                      ORDER BY a\nSETTINGS replicated_deduplication_window = 1000";
        assert_eq!(sent, wanted);
    }
}
