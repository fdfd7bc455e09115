//! Removing what is stored of a device or of a stretch of time, from every table.
//!
//! Rows go by mutations, which write the parts anew. What sums up more than goes is made
//! again from what is finer and stays: hours from minutes, days and endpoints' hours from hours,
//! endpoints from days, each by the very query of its view.

use clickhouse::{Client, Row, query::Query};
use serde::Deserialize;

use super::{
    DeviceColumns, IdentityColumns, ReadError, Store,
    read::{bind_identity, with_parts},
};

/// What is to go.
#[derive(Clone, Debug)]
pub enum Forgotten {
    /// All that names a device.
    Device {
        /// Which.
        device: DeviceColumns,
        /// Under which ids names were given to it, beside its addresses.
        ids: Vec<String>,
        /// What tells devices from routers.
        identity: Box<IdentityColumns>,
    },
    /// All between two whole minutes, in seconds since 1970; half-open.
    Minutes {
        /// From here on.
        from: i64,
        /// Up to here.
        until: i64,
    },
}

/// So many rows of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForgottenRows {
    /// Which.
    pub table: &'static str,
    /// Rows, as they lie there.
    pub rows: u64,
}

#[derive(Deserialize, Row)]
struct PartitionId {
    id: String,
}

/// What a table loses.
struct Loss {
    table: &'static str,
    /// Which rows.
    rows: &'static str,
    /// Rows that stay, and what is changed in them.
    changes: &'static [&'static str],
}

impl Store {
    /// Counts the rows that would go.
    ///
    /// # Errors
    /// If ClickHouse does not answer.
    pub async fn count_forgotten(&self, what: &Forgotten) -> Result<Vec<ForgottenRows>, ReadError> {
        let mut counted = Vec::new();
        for shard in self.shards() {
            shard.prepare(what).await?;
            let rows = shard.count(what).await;
            shard.clear_up().await?;
            add(&mut counted, rows?);
        }
        Ok(counted)
    }

    /// Removes it and says how many rows that were. Batches wait meanwhile, so that none
    /// is removed by halves.
    ///
    /// # Errors
    /// If ClickHouse does not do all of it. What is left goes when it is done again.
    pub async fn forget(&self, what: &Forgotten) -> Result<Vec<ForgottenRows>, ReadError> {
        let _no_inserts = self.storing.write().await;
        let mut counted = Vec::new();
        for shard in self.shards() {
            add(&mut counted, shard.forget(what).await?);
        }
        // What cannot be synced now is synced with the next batch.
        let _ = self.sync().await;
        Ok(counted)
    }

    fn shards(&self) -> impl Iterator<Item = Shard<'_>> {
        self.shards.iter().map(Shard)
    }
}

/// Adds up by table.
fn add(counted: &mut Vec<ForgottenRows>, more: Vec<ForgottenRows>) {
    for ForgottenRows { table, rows } in more {
        match counted.iter_mut().find(|counted| counted.table == table) {
            Some(counted) => counted.rows += rows,
            None => counted.push(ForgottenRows { table, rows }),
        }
    }
}

/// The tables of a shard, or of the one server.
struct Shard<'a>(&'a Client);

impl Shard<'_> {
    async fn forget(&self, what: &Forgotten) -> Result<Vec<ForgottenRows>, ReadError> {
        self.prepare(what).await?;
        let counted = self.count(what).await?;
        for loss in losses(what) {
            let mut sql = format!("ALTER TABLE {} DELETE WHERE {}", loss.table, loss.rows);
            for change in loss.changes {
                sql.push_str(", UPDATE ");
                sql.push_str(change);
            }
            self.bound(&sql, what).with_setting("mutations_sync", "1").execute().await?;
            self.make_again(loss.table, what).await?;
        }
        self.clear_up().await?;
        Ok(counted)
    }

    async fn count(&self, what: &Forgotten) -> Result<Vec<ForgottenRows>, ReadError> {
        let mut counted = Vec::new();
        for Loss { table, rows, .. } in losses(what) {
            let sql = format!("SELECT count() FROM {table} WHERE {rows}");
            counted.push(ForgottenRows { table, rows: self.bound(&sql, what).fetch_one().await? });
        }
        counted.retain(|counted| counted.rows > 0);
        Ok(counted)
    }

    /// Notes what is about to go: later there is nothing left to tell it by.
    async fn prepare(&self, what: &Forgotten) -> Result<(), ReadError> {
        self.clear_up().await?;
        let nobody = IdentityColumns::default();
        let (statements, identity) = match what {
            Forgotten::Device { identity, .. } => (DEVICE_NOTES, &**identity),
            Forgotten::Minutes { .. } => (MINUTES_NOTES, &nobody),
        };
        for sql in statements {
            self.bound(&with_parts(sql, false, identity), what).execute().await?;
        }
        Ok(())
    }

    async fn clear_up(&self) -> Result<(), ReadError> {
        for table in NOTES {
            self.0.query_raw(&format!("DROP TABLE IF EXISTS {table} SYNC")).execute().await?;
        }
        Ok(())
    }

    /// Rows of a table that were removed with what they had besides.
    async fn make_again(&self, table: &'static str, what: &Forgotten) -> Result<(), ReadError> {
        let made_again = match what {
            Forgotten::Device { .. } => DEVICE_MADE_AGAIN.as_slice(),
            Forgotten::Minutes { .. } => MINUTES_MADE_AGAIN.as_slice(),
        };
        let Some((_, view, rows)) = made_again.iter().find(|(name, ..)| *name == table) else { return Ok(()) };
        let select = self.view(view).await?;
        // Views behind the table must not see it: rows come in as parts.
        self.0.query_raw(&format!("CREATE TABLE {MADE} AS {table}")).execute().await?;
        let sql = format!("INSERT INTO {MADE} SELECT * FROM ({select}) WHERE {rows}");
        self.bound(&sql, what).with_setting("insert_deduplicate", "0").execute().await?;
        let sql = "SELECT DISTINCT partition_id AS id FROM system.parts \
                   WHERE database = currentDatabase() AND table = {table:String} AND active";
        for PartitionId { id } in self.0.query_raw(sql).param("table", MADE).fetch_all().await? {
            let sql = format!("ALTER TABLE {table} ATTACH PARTITION ID {{partition:String}} FROM {MADE}");
            self.0.query_raw(&sql).param("partition", id).execute().await?;
        }
        self.0.query_raw(&format!("DROP TABLE {MADE} SYNC")).execute().await
    }

    /// What feeds a roll-up.
    async fn view(&self, name: &str) -> Result<String, ReadError> {
        let sql = "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {name:String}";
        self.0.query_raw(sql).param("name", name).fetch_one().await
    }

    fn bound(&self, sql: &str, what: &Forgotten) -> Query {
        let query = self.0.query_raw(sql).with_setting("allow_nondeterministic_mutations", "1");
        match what {
            Forgotten::Device { device: (mac, vlan_id, ip), ids, identity } => bind_identity(query, identity)
                .param("mac", mac)
                .param("vlan_id", vlan_id)
                .param("ip", ip.to_string())
                .param("ids", ids),
            Forgotten::Minutes { from, until } => query.param("from", from).param("until", until),
        }
    }
}

fn losses(what: &Forgotten) -> &'static [Loss] {
    match what {
        Forgotten::Device { .. } => &DEVICE_LOSSES,
        Forgotten::Minutes { .. } => &MINUTES_LOSSES,
    }
}

/// Tables that are there only meanwhile; a backup leaves out what begins so.
const NOTES: [&str; 5] =
    ["forgetting_ends", "forgetting_ips", "forgetting_peers", "forgetting_connections", "forgetting_made"];
const MADE: &str = "forgetting_made";

/// The device's endpoints; addresses that nobody else had; the ends it talked with.
const DEVICE_NOTES: &[&str] = &[
    "CREATE TABLE forgetting_ends ENGINE = MergeTree ORDER BY (mac, ip) AS
     WITH {{device}}
     SELECT DISTINCT toString(collector) AS collector, vlan_id, mac, ip
     FROM
     (
        SELECT collector, vlan_id, mac, ip FROM endpoints
        UNION ALL
        SELECT collector, vlan_id, mac, ip FROM sightings WHERE kind IN ('arp', 'ndp', 'dhcp_client')
     )
     WHERE device_of(collector, vlan_id, mac, ip) = ({mac:UInt64}, {vlan_id:UInt16}, toIPv6({ip:String}))",
    "CREATE TABLE forgetting_ips ENGINE = MergeTree ORDER BY ip AS
     SELECT DISTINCT ip FROM forgetting_ends
     WHERE ip NOT IN (toIPv6('::'), toIPv6('0.0.0.0')) AND ip NOT IN
     (
        SELECT ip FROM endpoints
        WHERE sent_packets > 0 AND (toString(collector), vlan_id, mac, ip) NOT IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
     )",
    "CREATE TABLE forgetting_peers ENGINE = MergeTree ORDER BY (mac, ip) AS
     SELECT DISTINCT toString(collector) AS collector, vlan_id, side.1 AS mac, side.2 AS ip
     FROM traffic_day
     ARRAY JOIN [(a_mac, a_ip), (b_mac, b_ip)] AS side
     WHERE (toString(collector), vlan_id, a_mac, a_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
        OR (toString(collector), vlan_id, b_mac, b_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)",
];

const PAIR: &str =
    "(toString(collector), vlan_id, a_mac, a_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
    OR (toString(collector), vlan_id, b_mac, b_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)";
const CONNECTION: &str =
    "(toString(collector), vlan_id, orig_mac, orig_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
    OR (toString(collector), vlan_id, resp_mac, resp_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)";
const ASKED: &str =
    "(toString(collector), vlan_id, client_mac, client_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
    OR server_ip IN (SELECT ip FROM forgetting_ips)";

const fn loss(table: &'static str, rows: &'static str) -> Loss {
    Loss { table, rows, changes: &[] }
}

/// `endpoints` is last: what else only this device talked with is told by what stays in `traffic_day`.
const DEVICE_LOSSES: [Loss; 14] = [
    loss("slices", PAIR),
    loss("traffic_minute", PAIR),
    loss("traffic_hour", PAIR),
    loss(
        "endpoint_hour",
        "(toString(collector), vlan_id, mac, ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
         OR (toString(collector), vlan_id, mac, ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_peers)",
    ),
    loss("traffic_day", PAIR),
    loss("connections", CONNECTION),
    loss(
        "dns",
        "(toString(collector), vlan_id, client_mac, client_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
         OR server_ip IN (SELECT ip FROM forgetting_ips)
         OR hasAny(answer_ips, (SELECT groupArray(ip) FROM forgetting_ips))",
    ),
    loss("tls_hellos", ASKED),
    loss("time_requests", ASKED),
    loss(
        "peer_names",
        "(toString(collector), vlan_id, client_mac, client_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
         OR ip IN (SELECT ip FROM forgetting_ips)",
    ),
    loss("no_ip", "{mac:UInt64} != 0 AND mac = {mac:UInt64}"),
    loss(
        "sightings",
        "({mac:UInt64} != 0 AND mac = {mac:UInt64} AND (vlan_id = {vlan_id:UInt16} OR {vlan_id:UInt16} = 65535
            AND (vlan_id = 0 OR (toString(collector), mac) IN {half_tagged:Array(Tuple(String, UInt64))})))
         OR ip IN (SELECT ip FROM forgetting_ips)",
    ),
    loss(
        "given_names",
        "device IN {ids:Array(String)}
         OR device IN (SELECT if(startsWith(IPv6NumToString(ip), '::ffff:'), substring(IPv6NumToString(ip), 8), IPv6NumToString(ip)) FROM forgetting_ips)",
    ),
    loss(
        "endpoints",
        "(toString(collector), vlan_id, mac, ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
         OR (toString(collector), vlan_id, mac, ip) IN
         (
            SELECT collector, vlan_id, mac, ip FROM forgetting_peers
            WHERE (collector, vlan_id, mac, ip) NOT IN
            (
                SELECT toString(collector), vlan_id, side.1, side.2
                FROM traffic_day ARRAY JOIN [(a_mac, a_ip), (b_mac, b_ip)] AS side
                WHERE NOT ((toString(collector), vlan_id, a_mac, a_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)
                    OR (toString(collector), vlan_id, b_mac, b_ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends))
            )
         )",
    ),
];

/// Connections that reach into the range, which go whole, and endpoints that do, which are made again.
const MINUTES_NOTES: &[&str] = &[
    "CREATE TABLE forgetting_connections ENGINE = MergeTree ORDER BY (epoch, number) AS
     SELECT toString(collector) AS collector, epoch, number FROM connections
     GROUP BY collector, epoch, number
     HAVING min(started_at_ns) < {until:Int64} * 1000000000 AND max(last_at_ns) >= {from:Int64} * 1000000000",
    "CREATE TABLE forgetting_ends ENGINE = MergeTree ORDER BY (mac, ip) AS
     SELECT DISTINCT toString(collector) AS collector, vlan_id, mac, ip FROM endpoints
     WHERE first_at_ns < {until:Int64} * 1000000000 AND last_at_ns >= {from:Int64} * 1000000000",
];

/// Rows that end and begin outside keep that, and lose what they have within.
const CLIPPED: &[&str] = &[
    "first_at_ns = {until:Int64} * 1000000000
     WHERE first_at_ns >= {from:Int64} * 1000000000 AND first_at_ns < {until:Int64} * 1000000000 AND last_at_ns >= {until:Int64} * 1000000000",
    "last_at_ns = {from:Int64} * 1000000000 - 1
     WHERE last_at_ns >= {from:Int64} * 1000000000 AND last_at_ns < {until:Int64} * 1000000000 AND first_at_ns < {from:Int64} * 1000000000",
];
const WITHIN: &str = "first_at_ns >= {from:Int64} * 1000000000 AND last_at_ns < {until:Int64} * 1000000000";

/// Coarse tables come after what they are made from.
const MINUTES_LOSSES: [Loss; 13] = [
    loss("slices", "second >= {from:Int64} AND second < {until:Int64}"),
    loss("traffic_minute", "minute >= {from:Int64} AND minute < {until:Int64}"),
    loss("traffic_hour", "hour > {from:Int64} - 3600 AND hour < {until:Int64}"),
    loss("endpoint_hour", "hour > {from:Int64} - 3600 AND hour < {until:Int64}"),
    loss("traffic_day", "day > {from:Int64} - 86400 AND day < {until:Int64}"),
    loss(
        "connections",
        "(toString(collector), epoch, number) IN (SELECT collector, epoch, number FROM forgetting_connections)",
    ),
    loss("dns", "asked_at_ns >= {from:Int64} * 1000000000 AND asked_at_ns < {until:Int64} * 1000000000"),
    loss("tls_hellos", "seen_at_ns >= {from:Int64} * 1000000000 AND seen_at_ns < {until:Int64} * 1000000000"),
    loss(
        "time_requests",
        "requested_at_ns >= {from:Int64} * 1000000000 AND requested_at_ns < {until:Int64} * 1000000000",
    ),
    Loss { table: "peer_names", rows: WITHIN, changes: CLIPPED },
    // An hour that the range cuts cannot be told apart: it goes whole.
    loss("no_ip", "hour > {from:Int64} - 3600 AND hour < {until:Int64}"),
    Loss { table: "sightings", rows: WITHIN, changes: CLIPPED },
    loss(
        "endpoints",
        "(toString(collector), vlan_id, mac, ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)",
    ),
];

/// Table, the view that feeds it, and the view's rows that the table lost with others.
type MadeAgain = (&'static str, &'static str, &'static str);

/// What those that the device talked with had with others: nothing of the device is left in what it is made from.
const DEVICE_MADE_AGAIN: [MadeAgain; 1] = [(
    "endpoint_hour",
    "endpoint_hour_mv",
    "(toString(collector), vlan_id, mac, ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_peers)",
)];

const MINUTES_MADE_AGAIN: [MadeAgain; 4] = [
    ("traffic_hour", "traffic_hour_mv", "hour > {from:Int64} - 3600 AND hour < {until:Int64}"),
    ("endpoint_hour", "endpoint_hour_mv", "hour > {from:Int64} - 3600 AND hour < {until:Int64}"),
    ("traffic_day", "traffic_day_mv", "day > {from:Int64} - 86400 AND day < {until:Int64}"),
    (
        "endpoints",
        "endpoints_mv",
        "(toString(collector), vlan_id, mac, ip) IN (SELECT collector, vlan_id, mac, ip FROM forgetting_ends)",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_forgetting_reach_the_same_tables() {
        let names = |losses: &[Loss]| losses.iter().map(|loss| loss.table).collect::<std::collections::BTreeSet<_>>();
        let (device, mut minutes) = (names(&DEVICE_LOSSES), names(&MINUTES_LOSSES));
        // What the user said has no time in it.
        minutes.insert("given_names");
        assert_eq!(device, minutes);
    }
}
