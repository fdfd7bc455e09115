//! Asking ClickHouse: one function a question, rows as they come.
//!
//! The SQL is in `analyzer/sql`; values are bound, never pasted. Only fixed parts
//! of ours (`{{device}}`, …) are put in.

mod explain;
mod findings;
mod findings_rows;
mod rows;

use std::{net::Ipv6Addr, sync::Arc};

use clickhouse::{query::Query, query::RowCursor};

pub use self::explain::Explained;
pub use self::findings_rows::{
    BeatsRow, ConnectionRow, DnsRow, EncryptedRow, FiveTuple, PeerNameRow, SaidRow, StartsRow, TimeServerRow, TlsRow,
    UnansweredRow,
};
pub use self::rows::{
    CollectorRow, ConversationRow, CoverageJumpingRow, DaysRow, DirectoryRow, EdgeRow, EndpointHoursRow, ExchangedRow,
    HoldingsRow, IdentityRow, MacRow, NoIpRow, OnLinkRow, PacketRow, PlacedRow, PointRow, StepKey, StretchRow,
    TableRow,
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

    /// Whether no more than these clock hours have a part in the range.
    #[must_use]
    pub fn is_within_hours(&self, hours: i64) -> bool {
        let (first, last) = self.range.seconds();
        // Nothing is beyond the newest packet.
        let last = self.newest_at_ns.map_or(last, |newest| last.min(newest.div_euclid(1_000_000_000)));
        last.div_euclid(3600) - first.div_euclid(3600) < hours
    }

    /// What it is read from.
    fn pieces(&self, coarsest: Coarsest) -> Pieces {
        // Which packets two collectors saw is told by the hour.
        let coarsest = if self.several_collectors { coarsest.min(Coarsest::Hour) } else { coarsest };
        self.range.unless_beyond(self.newest_at_ns).pieces(coarsest).up_to(self.newest_at_ns)
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
    /// The hours, and what came in them.
    Hours,
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
    /// What endpoints exchanged with each other. Devices that were asked for are not looked at.
    pub fn exchanged(&self, scope: &Scope, detail: Detail) -> Result<RowCursor<ExchangedRow>, ReadError> {
        let (times, hours, coarsest) = match detail {
            Detail::Sums => (NO_TIMES, NO_HOURS, Coarsest::Day),
            Detail::Times => (TIMES, NO_HOURS, Coarsest::Day),
            Detail::Hours => (NO_TIMES, HOURS, Coarsest::Hour),
        };
        let sql = include_str!("../../sql/exchanged.sql").replace("{{times}}", times).replace("{{hours}}", hours);
        self.ask(&sql, scope, coarsest).fetch()
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
        let way = if scope.is_newest_first() { "DESC" } else { "ASC" };
        let pieces = scope.pieces(coarsest);
        let sql = of_devices(sql, scope.devices.is_some());
        let sql = with_parts(&sql, scope.several_collectors, &scope.identity).replace("{{way}}", way);
        let is_of_pieces = sql.contains("{{pairs}}") || sql.contains(IN_HOURS);
        let sql = sql
            .replace("{{pairs}}", &pairs_of(&pieces))
            .replace("{{and_ends}}", &ends_of(&pieces))
            .replace(IN_HOURS, &in_stretches("hour", &pieces.hours));
        let sql = of_collectors_and_nets(&sql, scope);
        if let Some(explained) = &scope.explained {
            explained.note(&sql, scope.range, is_of_pieces.then_some(&pieces));
        }
        let (first_second, last_second) = scope.range.seconds();
        let query = self
            .client()
            .query_raw(&sql)
            .with_setting("max_execution_time", MAX_EXECUTION_SECS)
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
const HOURS: &str = "toInt32(intDiv(hour, 3600)) AS in_hour, groupBitOr(pairs.awake_minutes) AS awake_minutes";
const NO_HOURS: &str = "toInt32(0) AS in_hour, toUInt64(0) AS awake_minutes";

/// Puts the parts in. Where several collectors may have seen the same, rows of all
/// but one are left out (`sql/parts/*once.sql`); that costs, so it is done only then.
pub(super) fn with_parts(sql: &str, several_collectors: bool, identity: &IdentityColumns) -> String {
    let parts = if several_collectors { SEVERAL_COLLECTORS } else { ONE_COLLECTOR };
    let device = device_parts(identity);
    let all = parts.iter().chain(&PARTS).chain(&device);
    all.fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part.trim_end()))
}

/// Conditions on devices, where any were asked for: else nobody has to tell them.
fn of_devices(sql: &str, are_asked_for: bool) -> String {
    let parts = if are_asked_for { OF_DEVICES } else { OF_ALL };
    parts.iter().fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
}

/// Conditions on collectors and networks, where any were asked for: ClickHouse takes as long to look at a condition that
/// is always true as at another.
fn of_collectors_and_nets(sql: &str, scope: &Scope) -> String {
    let asked = [
        (BY_COLLECTORS, !scope.collectors.is_empty()),
        (PAIR_IN_NETS, !scope.nets.is_empty()),
        (CLIENT_IN_NETS, !scope.nets.is_empty()),
        (ORIG_IN_NETS, !scope.nets.is_empty()),
    ];
    let part_of = |((name, part), is_asked)| (name, if is_asked { part } else { "" });
    asked.map(part_of).iter().fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
}

const BY_COLLECTORS: Part = ("{{and_by_collectors}}", "AND collector IN {collectors:Array(String)}");
const PAIR_IN_NETS: Part = (
    "{{and_pair_in_nets}}",
    "AND arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), \
     {nets:Array(Tuple(IPv6, IPv6))})",
);
const CLIENT_IN_NETS: Part = (
    "{{and_client_in_nets}}",
    "AND arrayExists(net -> (client_ip >= net.1 AND client_ip <= net.2) OR (server_ip >= net.1 AND server_ip <= net.2), \
     {nets:Array(Tuple(IPv6, IPv6))})",
);
const ORIG_IN_NETS: Part = (
    "{{and_orig_in_nets}}",
    "AND arrayExists(net -> (orig_ip >= net.1 AND orig_ip <= net.2) OR (resp_ip >= net.1 AND resp_ip <= net.2), \
     {nets:Array(Tuple(IPv6, IPv6))})",
);

/// How devices are told, without what this house has none of. ClickHouse copies a lambda to
/// wherever it is used and looks at each copy: with all of it that took longer than the answer.
fn device_parts(identity: &IdentityColumns) -> Parts<3> {
    let where_needed = |is_needed: bool, part: &'static str| if is_needed { part } else { "" };
    let is_placed = !identity.placed.is_empty();
    [
        ("{{or_on_link}}", where_needed(!identity.on_link.is_empty(), OR_ON_LINK)),
        ("{{or_half_tagged}}", where_needed(!identity.half_tagged.is_empty(), OR_HALF_TAGGED)),
        ("{{device_of}}", if is_placed { include_str!("../../sql/parts/device_placed.sql") } else { DEVICE_OF }),
    ]
}

const OR_ON_LINK: &str = " OR arrayExists(
            link -> link.1 = link_collector AND link.2 IN (0, link_mac) AND link_ip >= link.3 AND link_ip <= link.4,
            {on_link:Array(Tuple(String, UInt64, IPv6, IPv6))})";
const OR_HALF_TAGGED: &str = " OR (link_collector, link_mac) IN {half_tagged:Array(Tuple(String, UInt64))}";
const DEVICE_OF: &str = "(device_collector, device_vlan, device_mac, device_ip) -> \
                         device_at(toString(device_collector), device_vlan, device_mac, device_ip)";

/// What each pair exchanged: the tables that these pieces of a range are read from, and no others.
fn pairs_of(pieces: &Pieces) -> String {
    let stretches = [
        ("day", "{{in_days}}", std::slice::from_ref(&pieces.days)),
        ("hour", IN_HOURS, &pieces.hours),
        ("minute", "{{in_minutes}}", &pieces.minutes),
        ("second", "{{in_seconds}}", &pieces.seconds),
        ("second", "{{in_cut_seconds}}", &pieces.cut),
    ];
    // An empty range has an answer, too: of no hours.
    let is_empty = *pieces == Pieces::default();
    let branches = include_str!("../../sql/parts/pairs.sql").trim_end().split(UNION).zip(stretches);
    let branches = branches.filter_map(|(branch, (column, place, stretches))| {
        let within = in_stretches(column, stretches);
        (within != NOWHERE || is_empty && place == IN_HOURS).then(|| branch.replace(place, &within))
    });
    branches.collect::<Vec<_>>().join(UNION)
}

/// What endpoints exchanged beside whole hours, if there is something.
fn ends_of(pieces: &Pieces) -> String {
    let ends = Pieces { days: (0, 0), hours: [(0, 0); 2], ..*pieces };
    if ends == Pieces::default() {
        return String::new();
    }
    format!("{UNION}{}", ENDPOINTS.trim_end().replace("{{their_pairs}}", &format!("({})", pairs_of(&ends))))
}

const ENDPOINTS: &str = include_str!("../../sql/parts/endpoints.sql");
const IN_HOURS: &str = "{{in_hours}}";
const NOWHERE: &str = "0";

fn in_stretches(column: &str, stretches: &[(i64, i64)]) -> String {
    let within = stretches.iter().filter(|(from, until)| from < until);
    let within: Vec<_> = within.map(|stretch| in_stretch(column, *stretch)).collect();
    if within.is_empty() { NOWHERE.to_owned() } else { format!("({})", within.join(" OR ")) }
}

/// The hours of seconds are named as well: the sorting key of slices has both, and ClickHouse looks only at the
/// seconds, which stand at its end, if it is not told the hours.
fn in_stretch(column: &str, (from, until): (i64, i64)) -> String {
    let within = format!("{column} >= {from} AND {column} < {until}");
    if column != "second" {
        return format!("({within})");
    }
    // As `intDiv` has it, towards zero.
    let (first, last) = (from / 3600, (until - 1) / 3600);
    format!("(intDiv(second, 3600) >= {first} AND intDiv(second, 3600) <= {last} AND {within})")
}

const OF_DEVICES: Parts<6> = [
    (
        "{{and_is_of_devices}}",
        "AND (a_ip, b_ip) IN (SELECT a_ip, b_ip FROM traffic_hour \
         WHERE hour > {first_second:Int64} - 3600 AND hour <= {last_second:Int64} AND {{is_of_pair}} GROUP BY a_ip, b_ip)",
    ),
    ("{{with_device}}", "WITH\n{{device}}"),
    ("{{device_if_asked}}", "{{device}},"),
    (
        "{{is_of_pair}}",
        concat!(
            "(device_of(collector, vlan_id, a_mac, a_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))} ",
            "OR device_of(collector, vlan_id, b_mac, b_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})"
        ),
    ),
    (
        "{{is_of_ends}}",
        concat!(
            "(device_of(collector, vlan_id, orig_mac, orig_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))} ",
            "OR device_of(collector, vlan_id, resp_mac, resp_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})"
        ),
    ),
    (
        "{{is_of_orig}}",
        "device_of(collector, vlan_id, orig_mac, orig_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}",
    ),
];
const OF_ALL: Parts<6> = [
    ("{{and_is_of_devices}}", ""),
    ("{{with_device}}", ""),
    ("{{device_if_asked}}", ""),
    ("{{is_of_pair}}", "1"),
    ("{{is_of_ends}}", "1"),
    ("{{is_of_orig}}", "1"),
];

const UNION: &str = "\nUNION ALL\n";

/// A name in the SQL, and what stands for it.
type Part = (&'static str, &'static str);
type Parts<const COUNT: usize> = [Part; COUNT];

const ONE_COLLECTOR: Parts<7> = [
    ("{{most_first}}", ""),
    ("{{pairs_counted}}", "pairs AS ({{pairs}})"),
    ("{{connections_counted}}", "SELECT *, CAST([], 'Array(String)') AS also_seen_by FROM ({{connections}})"),
    ("{{slices_counted}}", "slices"),
    ("{{slices_seen_by}}", "CAST([], 'Array(String)')"),
    ("{{counted}}", "seen"),
    ("{{also_seen_by}}", "CAST([], 'Array(String)')"),
];

const SEVERAL_COLLECTORS: Parts<7> = [
    ("{{most_first}}", "ORDER BY a_ip, b_ip, protocol, a_port, b_port, length(seconds) DESC, collector"),
    ("{{pairs_counted}}", "doubles AS ({{doubles}}), pairs AS ({{pairs_once}})"),
    ("{{connections_counted}}", include_str!("../../sql/parts/connections_once.sql")),
    ("{{slices_counted}}", include_str!("../../sql/parts/slices_once.sql")),
    ("{{slices_seen_by}}", "arraySort(arrayFilter(one -> one != toString(collector), seen_by))"),
    ("{{counted}}", include_str!("../../sql/parts/once.sql")),
    ("{{also_seen_by}}", "also"),
];

/// Those that hold others come first.
const PARTS: Parts<7> = [
    ("{{doubles}}", include_str!("../../sql/parts/doubles.sql")),
    ("{{pairs_once}}", include_str!("../../sql/parts/pairs_once.sql")),
    ("{{connections}}", include_str!("../../sql/parts/connections.sql")),
    ("{{may_be_a_device}}", include_str!("../../sql/parts/may_be_a_device.sql")),
    ("{{device}}", include_str!("../../sql/parts/device.sql")),
    ("{{resolved}}", include_str!("../../sql/parts/resolved.sql")),
    ("{{sides}}", include_str!("../../sql/parts/sides.sql")),
];

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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// ClickHouse skips hours by the first expression of the sorting key only if it is told hours: it knows that
    /// `second` lies within `intDiv(second, 3600)`, but takes the key's last column, `second` itself, for it.
    #[test]
    fn who_asks_for_a_time_names_its_hour() {
        let keys = [
            ("second", "3600"),
            ("asked_at_ns", "3600000000000"),
            ("seen_at_ns", "3600000000000"),
            ("requested_at_ns", "3600000000000"),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let files = ["", "parts", "export"].map(|name| fs::read_dir(folder.join(name)).unwrap());
        let mut bounds = 0;
        for entry in files.into_iter().flatten() {
            let path = entry.unwrap().path();
            let Ok(sql) = fs::read_to_string(&path) else { continue };
            for (column, unit) in keys {
                let told = sql.matches(&format!(" {column} >= {{")).count();
                let hours = sql.matches(&format!("intDiv({column}, {unit}) >= intDiv({{")).count();
                assert_eq!(told, hours, "{}: {column}", path.display());
                bounds += told;
            }
        }
        assert!(bounds >= 12, "{bounds}");
    }

    #[test]
    fn only_tables_that_the_range_needs_are_read() {
        let of = |since_ns, until_ns| pairs_of(&TimeRange { since_ns, until_ns }.pieces(Coarsest::Hour));
        let tables = |sql: &str| {
            let tables = ["traffic_hour", "traffic_minute", "slices"];
            assert!(!sql.contains("FROM traffic_day"), "{sql}");
            tables.map(|table| sql.contains(&format!("FROM {table}")))
        };
        let hour = 3600 * 1_000_000_000;
        assert_eq!(tables(&of(Some(hour), Some(2 * hour))), [true, false, false]);
        assert_eq!(tables(&of(Some(1), Some(hour - 1))), [false, true, true]);
        assert_eq!(tables(&of(Some(hour / 2), Some(2 * hour + 1))), [true, true, true]);
        // Something has to answer that there is nothing.
        assert_eq!(tables(&of(Some(7), Some(7))), [true, false, false]);
    }

    #[test]
    fn a_house_without_oddities_is_asked_without_them() {
        let plain = with_parts("{{device}}", false, &IdentityColumns::default());
        let odd = IdentityColumns {
            half_tagged: vec![(String::new(), 1)],
            on_link: vec![(String::new(), 1, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)],
            placed: vec![(String::new(), Ipv6Addr::LOCALHOST, 1, 2)],
            ..IdentityColumns::default()
        };
        let odd = with_parts("{{device}}", false, &odd);
        for parameter in ["{half_tagged:", "{on_link:", "{placed:"] {
            assert!(!plain.contains(parameter) && odd.contains(parameter), "{parameter}");
        }
        assert!(!plain.contains("{{") && !odd.contains("{{"));
    }
}
