//! Asking ClickHouse: one function a question, rows as they come.
//!
//! The SQL is in `analyzer/sql`; values are bound, never pasted.

mod explain;
mod findings;
mod findings_rows;
mod parts;
mod rows;

use std::{net::Ipv6Addr, sync::Arc};

use clickhouse::{query::Query, query::RowCursor};

pub use self::explain::Explained;
pub use self::findings_rows::{
    BeatsRow, ConnectionRow, DnsRow, EncryptedRow, FiveTuple, PeerNameRow, SaidRow, StartsRow, TimeServerRow, TlsRow,
    UnansweredRow,
};
pub(super) use self::parts::with_parts;
use self::parts::{ENDPOINTS, assembled};
pub use self::rows::{
    CollectorRow, ConversationRow, CoverageJumpingRow, DaysRow, DirectoryRow, EdgeRow, EndpointHoursRow, ExchangedRow,
    HoldingsRow, IdentityRow, MacRow, NoIpRow, OnLinkRow, PacketRow, PlacedRow, PointRow, SeenByRow, StepKey,
    StretchRow, TableRow,
};
use super::{
    RetentionConfig, Store,
    insert::code,
    range::{Coarsest, Pieces, TimeRange},
};

/// ClickHouse's words for what went wrong.
pub type ReadError = clickhouse::error::Error;

/// What a question may take of the store, and how much it took is no fault of the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// It took too long.
    Time,
    /// It needs too much.
    Memory,
}

/// Which limit an error is about; `None`: none.
#[must_use]
pub fn limit_of(error: &ReadError) -> Option<Limit> {
    let ReadError::BadResponse(text) = error else { return None };
    // ClickHouse's ErrorCodes.cpp: TIMEOUT_EXCEEDED, MEMORY_LIMIT_EXCEEDED.
    match code(text)? {
        159 => Some(Limit::Time),
        241 => Some(Limit::Memory),
        _ => None,
    }
}

/// Which packets a question is about, as ClickHouse is told.
#[derive(Clone, Debug)]
pub struct Scope {
    /// When they were captured.
    pub range: TimeRange,
    /// By which collectors; empty: all.
    pub collectors: Vec<String>,
    /// Of which devices; `None`: of all.
    pub devices: Option<Vec<DeviceColumns>>,
    /// Of which addresses, first to last; empty: all.
    pub nets: Vec<AddressRange>,
    /// What tells devices from routers.
    pub identity: IdentityColumns,
    /// The most rows wanted; 0: all.
    pub limit: u64,
    /// Whether several collectors may have seen the same packets.
    pub several_collectors: bool,
    /// No packet was captured after this. `None`: that is not known.
    pub newest_at_ns: Option<i64>,
    /// Hears of each query. `None`: nobody wants to know.
    pub explained: Option<Arc<Explained>>,
}

/// A device as (MAC, VLAN, address): see `sql/parts/device.sql`.
pub type DeviceColumns = (u64, u16, Ipv6Addr);
/// First and last address.
pub type AddressRange = (Ipv6Addr, Ipv6Addr);

/// Facts about links in the shape of query parameters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IdentityColumns {
    /// Networks of the house.
    pub local_nets: Vec<AddressRange>,
    /// Collector and MAC of routers.
    pub routers: Vec<(String, u64)>,
    /// Collector and MAC whose VLAN tells nothing.
    pub half_tagged: Vec<(String, u64)>,
    /// Collector, MAC (0: any) and addresses that are on the link, though not local.
    pub on_link: Vec<(String, u64, Ipv6Addr, Ipv6Addr)>,
    /// Collector and address of frames without a MAC; MAC and VLAN that others show there.
    pub placed: Vec<(String, Ipv6Addr, u64, u16)>,
}

impl Scope {
    /// Whether rows that have a time come so: of no more than a limit these are wanted. Whoever tells them in the
    /// order of time has to hold them, so that there is an end to it.
    #[must_use]
    pub fn is_newest_first(&self) -> bool {
        (1..=MAX_HELD_ROWS).contains(&self.limit)
    }

    /// Whether its minutes fit into [`Detail::Minutes`].
    #[must_use]
    pub fn has_few_minutes(&self) -> bool {
        let (first, last) = self.range.seconds();
        // Nothing is beyond the newest packet.
        let last = self.newest_at_ns.map_or(last, |newest| last.min(newest.div_euclid(1_000_000_000)));
        last.div_euclid(60) - first.div_euclid(60) < i64::from(u64::BITS)
    }

    /// What it is read from.
    fn pieces(&self, coarsest: Coarsest) -> Pieces {
        // Which packets two collectors saw is told by the hour.
        let coarsest = if self.several_collectors { coarsest.min(Coarsest::Hour) } else { coarsest };
        let pieces = |coarsest| self.range.unless_beyond(self.newest_at_ns).pieces(coarsest).up_to(self.newest_at_ns);
        let coarse = pieces(coarsest);
        // An hour beside minutes would save less than it takes to look at another table.
        let is_for_minutes = self.has_few_minutes() && self.is_of_today() && !coarse.is_of_hours();
        if is_for_minutes { pieces(coarsest.min(Coarsest::Minute)) } else { coarse }
    }

    /// Whether it begins on the day of the newest packet. What comes now is kept as minutes as well as as hours, however
    /// little room there is (`sql/tables.sql`, partitions); of earlier days hours may be kept alone.
    fn is_of_today(&self) -> bool {
        let day = |ns: i64| ns.div_euclid(86_400 * 1_000_000_000);
        self.range.since_ns.zip(self.newest_at_ns).is_some_and(|(since, newest)| day(since) >= day(newest))
    }

    /// Whether both select the same packets, and tell devices by the same facts.
    #[must_use]
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        (&self.range, &self.collectors, &self.devices, &self.nets, &self.identity, self.several_collectors)
            == (&other.range, &other.collectors, &other.devices, &other.nets, &other.identity, other.several_collectors)
    }
}

/// Packets of some 500 octets: 50 MB.
const MAX_HELD_ROWS: u64 = 100_000;

/// What is told of what endpoints exchanged with each other, beside the sums.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Detail {
    /// Nothing.
    Sums,
    /// When the first and the last packet came.
    Times,
    /// In which minutes packets came, of a range that [has few](Scope::has_few_minutes).
    Minutes,
}

/// In which order pairs come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PairOrder {
    /// None.
    Any,
    /// By the address of the one who is not looked at: peers can be counted without keeping them.
    OfPeers,
}

/// What `connections` is limited to.
#[derive(Clone, Debug)]
pub struct ConnectionsFilter {
    /// Only those open at the end of the range.
    pub only_open: bool,
    /// Zeek's `conn_state`; empty: all.
    pub states: Vec<String>,
    /// At least this long.
    pub longer_than_ns: i64,
}

impl Store {
    /// What endpoints exchanged with each other: a row a pair, or a row of each of its endpoints in the order of the
    /// other's address. Devices that were asked for are not looked at.
    pub fn exchanged(
        &self,
        scope: &Scope,
        detail: Detail,
        order: PairOrder,
    ) -> Result<RowCursor<ExchangedRow>, ReadError> {
        let (times, minutes, coarsest) = match detail {
            Detail::Sums => (NO_TIMES, NO_MINUTES, Coarsest::Day),
            Detail::Times => (TIMES, NO_MINUTES, Coarsest::Day),
            Detail::Minutes if scope.pieces(Coarsest::Hour).has_hours() => (NO_TIMES, MINUTES_OF_HOURS, Coarsest::Hour),
            Detail::Minutes => (NO_TIMES, MINUTES, Coarsest::Hour),
        };
        let pairs = include_str!("../../sql/exchanged.sql").trim_end();
        let sql = match order {
            PairOrder::Any => pairs.to_owned(),
            PairOrder::OfPeers => include_str!("../../sql/exchanged_in_order.sql").replace("{{exchanged}}", pairs),
        };
        self.ask(&sql.replace("{{times}}", times).replace("{{minutes}}", minutes), scope, coarsest).fetch()
    }

    /// Which collectors show a pair of addresses in the same hour.
    pub fn pairs_seen_by(&self, scope: &Scope) -> Result<RowCursor<SeenByRow>, ReadError> {
        self.ask(include_str!("../../sql/pairs_seen_by.sql"), scope, Coarsest::Hour).fetch()
    }

    /// Pairs of addresses.
    pub fn conversations(&self, scope: &Scope) -> Result<RowCursor<ConversationRow>, ReadError> {
        self.ask(include_str!("../../sql/conversations.sql"), scope, Coarsest::Day).fetch()
    }

    /// In which hours endpoints had packets, and how many: of all that they exchanged with anybody, as each collector
    /// saw it. Devices and networks that were asked for are not looked at.
    pub fn endpoint_hours(&self, scope: &Scope) -> Result<RowCursor<EndpointHoursRow>, ReadError> {
        self.ask(include_str!("../../sql/endpoint_hours.sql"), scope, Coarsest::Hour).fetch()
    }

    /// The same of what they exchanged with the networks that were asked for, and once what several collectors saw.
    pub fn endpoint_hours_of_pairs(&self, scope: &Scope) -> Result<RowCursor<EndpointHoursRow>, ReadError> {
        let endpoints = ENDPOINTS.trim_end().replace("{{their_pairs}}", "pairs");
        let sql = include_str!("../../sql/endpoint_hours_of_pairs.sql").replace("{{endpoints_of_pairs}}", &endpoints);
        self.ask(&sql, scope, Coarsest::Hour).fetch()
    }

    /// All traffic over time.
    pub fn timeline(&self, scope: &Scope, step_secs: i64) -> Result<RowCursor<PointRow>, ReadError> {
        let sql = include_str!("../../sql/timeline_all.sql");
        self.ask(sql, scope, coarsest_for(step_secs)).param("step", step_secs).fetch()
    }

    /// Traffic over time, a line a device or destination.
    pub fn timeline_by(
        &self,
        scope: &Scope,
        step_secs: i64,
        by_destination: bool,
    ) -> Result<RowCursor<PointRow>, ReadError> {
        self.ask(include_str!("../../sql/timeline_by.sql"), scope, coarsest_for(step_secs))
            .param("step", step_secs)
            .param("by_destination", u8::from(by_destination))
            .fetch()
    }

    /// Packets: the newest `limit`, newest first, or all, oldest first.
    pub fn packets(&self, scope: &Scope) -> Result<RowCursor<PacketRow>, ReadError> {
        self.ask(include_str!("../../sql/packets.sql"), scope, Coarsest::Second).fetch()
    }

    /// Which stretches of the range batches report on: those of a live collector put together by steps of the range.
    pub async fn stretches(&self, scope: &Scope) -> Result<Vec<StretchRow>, ReadError> {
        self.ask_stretches(scope).param("each_batch", 0_u8).param("steps", Vec::<StepKey>::new()).fetch_all().await
    }

    /// The same of some steps, a row each batch.
    pub async fn each_stretch(&self, scope: &Scope, steps: &[StepKey]) -> Result<Vec<StretchRow>, ReadError> {
        self.ask_stretches(scope).param("each_batch", 1_u8).param("steps", steps).fetch_all().await
    }

    fn ask_stretches(&self, scope: &Scope) -> Query {
        let (since_ns, until_ns) = (scope.range.since_or_least(), scope.range.until_or_greatest());
        let step_ns = match (scope.range.since_ns, scope.range.until_ns) {
            (Some(since), Some(until)) => (until.saturating_sub(since) / STEPS).clamp(LEAST_STEP_NS, LARGEST_STEP_NS),
            _ => LARGEST_STEP_NS,
        };
        self.ask(include_str!("../../sql/stretches.sql"), scope, Coarsest::Hour)
            .param("longest_ns", LONGEST_BATCH_NS)
            .param("step_ns", step_ns)
            // Sealed when its time was over, give or take.
            .param("sealed_since_ns", since_ns.saturating_sub(LARGEST_STEP_NS))
            .param("sealed_until_ns", until_ns.saturating_add(LARGEST_STEP_NS))
    }

    /// What live batches report on before the range, from `expected_since_ns` on, and after it.
    pub async fn edges(&self, scope: &Scope, expected_since_ns: i64) -> Result<Vec<EdgeRow>, ReadError> {
        self.ask(include_str!("../../sql/edges.sql"), scope, Coarsest::Hour)
            .param("longest_ns", LONGEST_BATCH_NS)
            .param("expected_since_ns", expected_since_ns)
            .fetch_all()
            .await
    }

    /// Of which days of the range sums are kept.
    pub async fn days(&self, scope: &Scope) -> Result<DaysRow, ReadError> {
        self.ask(include_str!("../../sql/days.sql"), scope, Coarsest::Day).fetch_one().await
    }

    /// How complete a range is that batches of centuries reach into.
    pub async fn coverage_jumping(&self, scope: &Scope) -> Result<CoverageJumpingRow, ReadError> {
        self.ask(include_str!("../../sql/coverage_jumping.sql"), scope, Coarsest::Hour)
            .param("longest_ns", LONGEST_BATCH_NS)
            .fetch_one()
            .await
    }

    /// What is stored of each collector.
    pub async fn collectors(&self, collectors: &[String]) -> Result<Vec<CollectorRow>, ReadError> {
        let query = self.client().query_raw(include_str!("../../sql/collectors.sql"));
        query.param("collectors", collectors).fetch_all().await
    }

    /// How many collectors may have packets in the range.
    pub async fn reporting_collectors(&self, scope: &Scope) -> Result<u64, ReadError> {
        let sql = "-- Collectors that reported:\nSELECT uniqExact(collector) FROM batches \
                   WHERE covered_from_at_ns < {until_ns:Int64} AND covered_until_at_ns > {since_ns:Int64} \
                   {{and_by_collectors}}";
        self.ask(sql, scope, Coarsest::Hour).fetch_one().await
    }

    /// When the first of the collectors was last heard of before the end of the range: what is open was open then.
    /// `None`: there is none.
    pub async fn heard_at(&self, scope: &Scope) -> Result<Option<i64>, ReadError> {
        let sql = "-- When collectors were last heard of:\nSELECT minOrNull(least(heard_at_ns, {until_ns:Int64})) FROM \
                   (SELECT max(covered_until_at_ns) AS heard_at_ns FROM batches \
                   WHERE covered_from_at_ns < {until_ns:Int64} \
                   {{and_by_collectors}} GROUP BY collector)";
        self.ask(sql, scope, Coarsest::Hour).fetch_one().await
    }

    /// Whose packets are stored, and up to when.
    pub async fn holdings(&self) -> Result<HoldingsRow, ReadError> {
        self.client().query_raw(include_str!("../../sql/holdings.sql")).fetch_one().await
    }

    /// Frames without IP of each collector.
    pub async fn no_ip(&self, collectors: &[String]) -> Result<Vec<NoIpRow>, ReadError> {
        let query = self.client().query_raw(include_str!("../../sql/no_ip.sql"));
        query.param("collectors", collectors).fetch_all().await
    }

    /// Bytes of each table.
    pub async fn tables(&self) -> Result<Vec<TableRow>, ReadError> {
        let mut tables = Vec::<TableRow>::new();
        for shard in self.shards.iter() {
            let rows = shard.query_raw(include_str!("../../sql/tables.sql")).fetch_all::<TableRow>().await?;
            for row in rows {
                match tables.iter_mut().find(|table| table.table == row.table) {
                    Some(table) => table.add(&row),
                    None => tables.push(row),
                }
            }
        }
        tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
        Ok(tables)
    }

    /// How long a table keeps its rows. `None`: for ever.
    #[must_use]
    pub fn retention_days_of(&self, table: &str) -> Option<u16> {
        RetentionConfig::from(self.about().retention_days).days_of(table)
    }

    /// Days until there is no room for more, at the present rate. `None`: never.
    #[must_use]
    pub fn growth(&self, tables: &[TableRow], free_bytes: u64, now_ns: i64) -> Option<f64> {
        let today = now_ns / (24 * 3600 * 1_000_000_000);
        // A table that drops a day for each that comes does not grow.
        let grows = |row: &&TableRow| match self.retention_days_of(&row.table) {
            Some(days) => row.oldest_day != 0 && today - i64::from(row.oldest_day) < i64::from(days),
            None => true,
        };
        let bytes_per_day: u64 = tables.iter().filter(grows).map(|row| row.bytes_per_day).sum();
        let bytes = tables.iter().map(|row| row.bytes).sum::<u64>();
        // The limit is each shard's.
        let max_bytes = self.about().retention_bytes.map(|max| max.saturating_mul(self.shards.len() as u64));
        let room = max_bytes.map_or(free_bytes, |max| free_bytes.min(max.saturating_sub(bytes)));
        #[expect(clippy::cast_precision_loss, reason = "days need no more than 52 bits")]
        (bytes_per_day > 0).then(|| room as f64 / bytes_per_day as f64)
    }

    /// When the oldest batch that is stored was sealed.
    pub async fn oldest_sealed_at(&self) -> Result<Option<i64>, ReadError> {
        let sql = "SELECT if(count() = 0, NULL, min(sealed_at_ns)) FROM batches";
        self.client().query_raw(sql).fetch_one().await
    }

    /// Octets free where the data lie.
    pub async fn free_bytes(&self) -> Result<u64, ReadError> {
        let mut bytes = 0;
        for shard in self.shards.iter() {
            bytes += shard.query_raw("SELECT sum(free_space) FROM system.disks").fetch_one::<u64>().await?;
        }
        Ok(bytes)
    }

    /// All devices ever seen.
    pub async fn directory(&self, identity: &IdentityColumns) -> Result<Vec<DirectoryRow>, ReadError> {
        let sql = with_parts(include_str!("../../sql/directory.sql"), false, identity);
        bind_identity(self.client().query_raw(&sql), identity).fetch_all().await
    }

    /// Senders from addresses that are not local.
    pub async fn identity_facts(&self, local_nets: &[AddressRange]) -> Result<Vec<IdentityRow>, ReadError> {
        let query = self.client().query_raw(include_str!("../../sql/identity.sql"));
        query.param("local_nets", ranges(local_nets)).fetch_all().await
    }

    /// What links show of themselves.
    pub async fn on_link_facts(&self, local_nets: &[AddressRange]) -> Result<Vec<OnLinkRow>, ReadError> {
        let query = self.client().query_raw(include_str!("../../sql/on_link.sql"));
        query.param("local_nets", ranges(local_nets)).fetch_all().await
    }

    /// Addresses that some frames show at a MAC and others without one.
    pub async fn placed(&self) -> Result<Vec<PlacedRow>, ReadError> {
        self.client().query_raw(include_str!("../../sql/placed.sql")).fetch_all().await
    }

    /// MACs whose VLAN tells nothing.
    pub async fn half_tagged(&self) -> Result<Vec<MacRow>, ReadError> {
        self.client().query_raw(include_str!("../../sql/half_tagged.sql")).fetch_all().await
    }

    pub(super) fn ask(&self, sql: &str, scope: &Scope, coarsest: Coarsest) -> Query {
        let pieces = scope.pieces(coarsest);
        let (sql, is_of_pieces) = assembled(sql, scope, &pieces);
        if let Some(explained) = &scope.explained {
            explained.note(&sql, scope.range, is_of_pieces.then_some(&pieces));
        }
        let (first_second, last_second) = scope.range.seconds();
        let query = self
            .client()
            .query_raw(&sql)
            .with_setting("max_execution_time", MAX_EXECUTION_SECS)
            // An hour's minutes are worth two threads: 12 ms, 15 by one (by default 163,840 rows and 240 MB are).
            .with_setting("merge_tree_min_rows_for_concurrent_read", "32768")
            .with_setting("merge_tree_min_bytes_for_concurrent_read", "1048576")
            // For a reader that pauses; and for none that is gone.
            .with_setting("http_send_timeout", MAX_EXECUTION_SECS)
            .with_setting("cancel_http_readonly_queries_on_client_close", "1")
            // Sorting and grouping beyond this goes through files.
            .with_setting("max_bytes_before_external_sort", EXTERNAL_BYTES)
            .with_setting("max_bytes_before_external_group_by", EXTERNAL_BYTES)
            .param("since_ns", scope.range.since_or_least())
            .param("until_ns", scope.range.until_or_greatest())
            .param("first_second", first_second)
            .param("last_second", last_second)
            .param("collectors", &scope.collectors)
            .param("any_device", u8::from(scope.devices.is_none()))
            .param("devices", device_columns(scope.devices.as_deref().unwrap_or_default()))
            .param("nets", ranges(&scope.nets))
            // One more than asked for tells whether there are more.
            .param("limit", if scope.limit == 0 { u64::MAX } else { scope.limit.saturating_add(1) });
        bind_identity(query, &scope.identity)
    }
}

pub(super) fn bind_identity(query: Query, identity: &IdentityColumns) -> Query {
    let on_link: Vec<_> = identity
        .on_link
        .iter()
        .map(|(collector, mac, first, last)| (collector, mac, first.to_string(), last.to_string()))
        .collect();
    let placed: Vec<_> =
        identity.placed.iter().map(|(collector, ip, mac, vlan_id)| (collector, ip.to_string(), mac, vlan_id)).collect();
    query
        .param("local_nets", ranges(&identity.local_nets))
        .param("routers", &identity.routers)
        .param("half_tagged", &identity.half_tagged)
        .param("on_link", on_link)
        .param("placed", placed)
}

fn ranges(ranges: &[AddressRange]) -> Vec<(String, String)> {
    ranges.iter().map(|(first, last)| (first.to_string(), last.to_string())).collect()
}

fn device_columns(devices: &[DeviceColumns]) -> Vec<(u64, u16, String)> {
    devices.iter().map(|(mac, vlan, ip)| (*mac, *vlan, ip.to_string())).collect()
}

/// The roll-up whose rows do not straddle two steps.
fn coarsest_for(step_secs: i64) -> Coarsest {
    match step_secs {
        step if step % 86_400 == 0 => Coarsest::Day,
        step if step % 3600 == 0 => Coarsest::Hour,
        step if step % 60 == 0 => Coarsest::Minute,
        _ => Coarsest::Second,
    }
}

const TIMES: &str = "min(pairs.first_at_ns) AS first_at_ns, max(pairs.last_at_ns) AS last_at_ns";
const NO_TIMES: &str = "toInt64(0) AS first_at_ns, toInt64(0) AS last_at_ns";
/// Minutes from that on in which the range begins; packets of a clock that jumps may come meanwhile, hours later.
const MINUTES: &str = "groupBitOr(bitShiftLeft(toUInt64(1), toUInt8(least(63, intDiv(\
                       at - {first_second:Int64} + positiveModulo({first_second:Int64}, 60), 60))))) AS awake_minutes";
/// The same from those of clock hours.
const MINUTES_OF_HOURS: &str = "groupBitOr(bitShiftLeft(bitShiftRight(pairs.awake_minutes, \
                                toUInt8(least(63, greatest(0, -(intDiv(hour - {first_second:Int64} \
                                + positiveModulo({first_second:Int64}, 60), 60) AS later))))), \
                                toUInt8(least(63, greatest(0, later))))) AS awake_minutes";
const NO_MINUTES: &str = "toUInt64(0) AS awake_minutes";

/// A file that spans more has a clock that jumps, not years of packets in one batch.
const LONGEST_BATCH_NS: i64 = 366 * 24 * 3600 * 1_000_000_000;
/// Of a range; each is a row a live collector.
const STEPS: i64 = 500;
const LEAST_STEP_NS: i64 = 60 * 1_000_000_000;
/// Of a range without bounds. A larger one could have more batches than are looked at.
const LARGEST_STEP_NS: i64 = 24 * 3600 * 1_000_000_000;
/// Nobody waits longer for an answer, and nothing should compute longer for nobody.
const MAX_EXECUTION_SECS: &str = "300";
/// A quarter of what the embedded engine may take by default, and still fast.
pub(super) const EXTERNAL_BYTES: &str = "500000000";
