//! Storing batches: each once, however often it is sent.
//!
//! Every insert carries a token (`insert_deduplication_token`): the batch's id, or the
//! name of the [`Group`] of small batches that are inserted together. One that is
//! repeated after a crash changes neither a table nor the roll-ups behind it. Tokens
//! are remembered a while only; a batch that is resent much later is found in
//! `batches`, which is written last.

mod connections;
mod names;
mod peer_names;
mod slices;

use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap},
    net::Ipv6Addr,
};

use clickhouse::{
    Row,
    native::{builder::BlockBuilder, encode::Encode},
};
use iotq_proto::{BatchId, CheckedBatch, CollectorId, LossStage, Timestamp, UndecodedReason, error::Chain, v1};
use serde::Deserialize;
use tracing::debug;

use super::{NotDurable, Store};

pub(super) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Why a batch is not stored (yet).
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// ClickHouse did not take it.
    #[error("insert into `{table}` failed")]
    Table {
        /// Where.
        table: &'static str,
        /// Why.
        #[source]
        source: clickhouse::error::Error,
    },
    /// It could not be put into columns.
    #[error("block for `{table}` not built")]
    Block {
        /// Where.
        table: &'static str,
        /// Why.
        #[source]
        source: BoxedError,
    },
    /// The disk does not have it.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    /// A group of batches was not written down, or not read again.
    #[error("journal of the store not written or read")]
    Journal(#[source] std::io::Error),
}

impl InsertError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Table { source, .. } => {
                let text = source.to_string();
                // NOT_ENOUGH_SPACE, or what the system said when it came unforeseen.
                text.contains("Code: 243.") || text.contains("No space left on device") || text.contains("errno: 28")
            }
            Self::NotDurable(NotDurable::Sync(error)) | Self::Journal(error) => {
                error.kind() == std::io::ErrorKind::StorageFull
            }
            Self::NotDurable(NotDurable::Damaged(_)) | Self::Block { .. } => false,
        }
    }

    /// Whether it is the batch itself that ClickHouse does not like, as far as the
    /// error tells: of another batch it might take all rows.
    #[must_use]
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::Block { .. } => true,
            Self::Table { source: clickhouse::error::Error::BadResponse(text), .. } => {
                code(text).is_some_and(|code| DATA_CODES.contains(&code))
            }
            Self::Table { .. } | Self::NotDurable(_) | Self::Journal(_) => false,
        }
    }
}

/// The number in `Code: 53. DB::Exception: …`.
pub(super) fn code(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Codes of ClickHouse's ErrorCodes.cpp that say what is wrong with the rows:
/// `CANNOT_PARSE_TEXT`, `CANNOT_PARSE_INPUT_ASSERTION_FAILED`, `CANNOT_READ_ALL_DATA`,
/// `BAD_ARGUMENTS`, `ILLEGAL_COLUMN`, `TYPE_MISMATCH`, `ARGUMENT_OUT_OF_BOUND`,
/// `INCORRECT_DATA`, `TOO_LARGE_ARRAY_SIZE`, `TOO_LARGE_STRING_SIZE`,
/// `SIZES_OF_ARRAYS_DONT_MATCH`, `VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE`, `VIOLATED_CONSTRAINT`.
const DATA_CODES: [u16; 13] = [6, 27, 33, 36, 44, 53, 69, 117, 128, 131, 190, 321, 469];

/// Which batches of an epoch are stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StoredSeqs {
    /// All up to this one.
    pub through: u64,
    /// Single ones beyond.
    pub beyond: BTreeSet<u64>,
}

impl StoredSeqs {
    /// Whether this one is stored.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        seq <= self.through || self.beyond.contains(&seq)
    }

    /// Notes that this one is.
    pub fn add(&mut self, seq: u64) {
        self.beyond.insert(seq);
        while self.beyond.remove(&(self.through + 1)) {
            self.through += 1;
        }
    }
}

/// What a table gets of a batch.
struct Table {
    name: &'static str,
    /// How many rows.
    rows: fn(&v1::Batch) -> usize,
    /// Appends them to the table's columns.
    fill: fn(&mut BlockBuilder, &Member<'_>) -> Result<(), BoxedError>,
}

/// A batch on its way into columns.
struct Member<'a> {
    id: &'a BatchId,
    batch: &'a v1::Batch,
    packets: u64,
    /// The partition's day.
    arrived_on: u16,
}

impl Member<'_> {
    fn collector(&self) -> &str {
        self.id.collector.as_str()
    }
}

impl Store {
    /// Stores a batch that is large enough to be inserted alone: all its rows, and last
    /// the row that says so.
    ///
    /// # Errors
    /// If ClickHouse does not take it. Parts may be stored; storing it again adds
    /// what is missing, and only that.
    ///
    /// While the store is full it waits.
    pub async fn insert(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let token = batch.id().to_string();
        let refused = self.insert_together(&token, std::slice::from_ref(batch)).await?;
        refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Stores batches under one token; returns those of them that ClickHouse does not
    /// take, which are not entered in `batches`.
    ///
    /// # Errors
    /// As [`Store::insert`]; for the batches refused, see [`InsertError::is_about_data`].
    pub(super) async fn insert_together<B: Borrow<CheckedBatch>>(
        &self,
        token: &str,
        batches: &[B],
    ) -> Result<Vec<(BatchId, InsertError)>, InsertError> {
        self.room.wait().await;
        self.doubt.heal(&self.storing).await;
        let _storing = self.storing.read().await;
        let members: Vec<_> = batches.iter().map(|batch| self.member(batch.borrow())).collect();
        let result = self.insert_members(token, &members).await;
        self.room.note(result.as_ref().map(|_| &()));
        if let Err(error) = &result {
            self.doubt.note(error);
        }
        result
    }

    async fn insert_members(
        &self,
        token: &str,
        members: &[Member<'_>],
    ) -> Result<Vec<(BatchId, InsertError)>, InsertError> {
        let inserts = TABLES.iter().map(|table| self.insert_into(table, token, members));
        let mut refused = futures::future::try_join_all(inserts).await?.into_iter().flatten().collect::<Vec<_>>();
        refused.sort_by(|(a, _), (b, _)| a.cmp(b));
        refused.dedup_by(|(a, _), (b, _)| a == b);
        let taken = members.iter().filter(|member| !refused.iter().any(|(id, _)| id == member.id));
        self.insert_rows(&BATCHES, token, taken).await?;
        if let Some(durable) = &self.durable {
            durable.wait().await?;
        }
        Ok(refused)
    }

    /// Inserts all members' rows; if ClickHouse does not like them, each member's alone,
    /// and returns whose it refuses.
    async fn insert_into(
        &self,
        table: &Table,
        token: &str,
        members: &[Member<'_>],
    ) -> Result<Vec<(BatchId, InsertError)>, InsertError> {
        let error = match self.insert_rows(table, token, members.iter()).await {
            Ok(()) => return Ok(Vec::new()),
            Err(error) if error.is_about_data() && members.len() > 1 => error,
            Err(error) => return Err(error),
        };
        debug!(table = table.name, token, error = %Chain(&error), "group not taken, trying each batch");
        let mut refused = Vec::new();
        for member in members {
            // Of its own: what is repeated after a crash takes the same ways with the same tokens.
            let token = format!("{token}/{}", member.id);
            match self.insert_rows(table, &token, std::iter::once(member)).await {
                Ok(()) => {}
                Err(error) if error.is_about_data() => refused.push((member.id.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        // None was taken: rather the table is at fault than all of them. Whoever tries again decides.
        if refused.len() == members.len() { Err(error) } else { Ok(refused) }
    }

    async fn insert_rows<'a>(
        &self,
        table: &Table,
        token: &str,
        members: impl Iterator<Item = &'a Member<'a>>,
    ) -> Result<(), InsertError> {
        let mut block = BlockBuilder::new();
        let mut rows = 0;
        for member in members.filter(|member| (table.rows)(member.batch) > 0) {
            rows += 1;
            let built = (table.fill)(&mut block, member);
            built.map_err(|source| InsertError::Block { table: table.name, source })?;
        }
        if rows == 0 { Ok(()) } else { self.insert_block(table.name, token, block).await }
    }

    fn member<'a>(&self, checked: &'a CheckedBatch) -> Member<'a> {
        let (id, batch) = (checked.id(), checked.batch());
        Member { id, batch, packets: checked.packets(), arrived_on: self.arrived_on(checked) }
    }

    /// Which batches of this epoch are stored.
    ///
    /// # Errors
    /// If ClickHouse does not answer.
    pub async fn stored_seqs(&self, collector: &CollectorId, epoch: u64) -> clickhouse::error::Result<StoredSeqs> {
        // A collector waits for answers to far fewer batches than these; what is
        // before them was answered long ago.
        let sql = "SELECT seq FROM batches WHERE collector = {collector:String} AND epoch = {epoch:UInt64} \
                   ORDER BY seq DESC LIMIT 10000";
        let query = self.client().query_raw(sql).param("collector", collector.as_str()).param("epoch", epoch);
        let mut seqs = query.fetch_all::<u64>().await?;
        seqs.reverse();
        let mut stored = StoredSeqs::default();
        if seqs.len() == 10_000 {
            stored.through = seqs.first().map_or(0, |first| first.saturating_sub(1));
        }
        for seq in seqs {
            stored.add(seq);
        }
        Ok(stored)
    }

    /// When a capture that begins the same was first stored by another epoch.
    ///
    /// # Errors
    /// If ClickHouse does not answer.
    pub async fn source_stored_at(&self, batch: &CheckedBatch) -> clickhouse::error::Result<Option<i64>> {
        #[derive(Deserialize, Row)]
        struct Found {
            batches: u64,
            sealed_at_ns: i64,
        }
        let Some(source) = &batch.batch().source else { return Ok(None) };
        let sql = "SELECT count() AS batches, min(sealed_at_ns) AS sealed_at_ns FROM batches \
                   WHERE source_fingerprint = {fingerprint:String} \
                   AND NOT (collector = {collector:String} AND epoch = {epoch:UInt64})";
        let found = self
            .client()
            .query_raw(sql)
            .param("fingerprint", hex(&source.fingerprint))
            .param("collector", batch.id().collector.as_str())
            .param("epoch", batch.id().epoch)
            .fetch_one::<Found>()
            .await?;
        Ok((found.batches > 0).then_some(found.sealed_at_ns))
    }

    async fn insert_block(&self, table: &'static str, token: &str, mut block: BlockBuilder) -> Result<(), InsertError> {
        let block = block.build().map_err(|error| InsertError::Block { table, source: Box::new(error) })?;
        let mut insert = self
            .client()
            .insert_native(table)
            .with_setting("insert_deduplication_token", token)
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            // Rows that belong together are put together by merges, and by whoever reads before that.
            // Doing so in the insert as well made the whole path a tenth slower.
            .with_setting("optimize_on_insert", "0");
        let failed = |source| InsertError::Table { table, source };
        insert.write(&block).await.map_err(failed)?;
        insert.end().await.map_err(failed)
    }

    /// The partition's day: when the batch was sealed, the same for each attempt.
    pub(super) fn arrived_on(&self, batch: &CheckedBatch) -> u16 {
        let days = batch.batch().sealed_at_ns.div_euclid(NANOS_PER_DAY);
        // A clock before 1970 or after 2149 is none; the ends keep retention sane.
        let day = u16::try_from(days.clamp(0, u16::MAX.into())).unwrap_or_default();
        if self.about.retention_days > MAX_DAILY_PARTITIONS { monday(day) } else { day }
    }
}

fn fill_sightings(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let rows = || member.batch.sightings.iter();
    column(block, "kind", rows().map(|row| row.kind().label()))?;
    column(block, "collector", rows().map(|_| member.collector()))?;
    column(block, "vlan_id", rows().map(|row| narrow_u16(row.vlan_id)))?;
    column(block, "mac", rows().map(|row| row.mac))?;
    column(block, "ip", rows().map(|row| ip(&row.ip)))?;
    column(block, "prefix_len", rows().map(|row| narrow_u8(row.prefix_len)))?;
    column(block, "count", rows().map(|row| row.count))?;
    column(block, "first_at_ns", rows().map(|row| row.first_at_ns))?;
    column(block, "last_at_ns", rows().map(|row| row.last_at_ns))?;
    column(block, "text", rows().map(|row| row.text.as_str()))
}

fn fill_no_ip(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let from_ns = member.batch.covered_from_at_ns.unwrap_or_default();
    let hour = Timestamp::from_nanos(from_ns).unwrap_or_default().second().div_euclid(3600) * 3600;
    let rows = || member.batch.no_ip.iter();
    column(block, "arrived_on", rows().map(|_| member.arrived_on))?;
    column(block, "collector", rows().map(|_| member.collector()))?;
    column(block, "link_protocol", rows().map(|row| row.link_protocol))?;
    column(block, "mac", rows().map(|row| row.mac))?;
    column(block, "hour", rows().map(|_| hour))?;
    column(block, "frames", rows().map(|row| row.frames))?;
    column(block, "wire_bytes", rows().map(|row| row.wire_bytes))
}

fn fill_batches(block: &mut BlockBuilder, member: &Member<'_>) -> Result<(), BoxedError> {
    let (id, batch) = (member.id, member.batch);
    let mut undecoded = HashMap::<&str, u64>::new();
    for count in &batch.undecoded {
        *undecoded.entry(UndecodedReason::label(count.reason())).or_default() += count.frames;
    }
    let mut lost = HashMap::<&str, u64>::new();
    for count in &batch.lost {
        *lost.entry(LossStage::label(count.stage())).or_default() += count.packets;
    }
    let source = batch.source.clone().unwrap_or_default();
    column(block, "collector", [member.collector()])?;
    column(block, "epoch", [id.epoch])?;
    column(block, "seq", [id.seq])?;
    column(block, "sealed_at_ns", [batch.sealed_at_ns])?;
    column(block, "arrived_on", [member.arrived_on])?;
    column(block, "covered_from_at_ns", [batch.covered_from_at_ns.unwrap_or_default()])?;
    column(block, "covered_until_at_ns", [batch.covered_until_at_ns.unwrap_or_default()])?;
    column(block, "frames", [batch.frames])?;
    column(block, "packets", [member.packets])?;
    column(block, "no_ip", [batch.no_ip.iter().map(|count| count.frames).sum::<u64>()])?;
    column(block, "undecoded", [undecoded])?;
    column(block, "lost", [lost])?;
    column(block, "clamped_times", [batch.clamped_times])?;
    column(block, "source_name", [source.name.as_str()])?;
    column(block, "source_fingerprint", [hex(&source.fingerprint).as_str()])
}

pub(super) fn column<T: Encode>(
    block: &mut BlockBuilder,
    name: &str,
    values: impl IntoIterator<Item = T>,
) -> Result<(), BoxedError> {
    block.upsert_column::<T>(name)?.add_all(values)?;
    Ok(())
}

/// `::` for none; the length was checked with the batch.
fn ip(octets: &[u8]) -> Ipv6Addr {
    <[u8; 16]>::try_from(octets).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)
}

/// The value's range was checked with the batch.
fn narrow_u16(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// The value's range was checked with the batch.
fn narrow_u8(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// The Monday of a day's week: 1970-01-01 was a Thursday.
fn monday(day: u16) -> u16 {
    day.saturating_sub((day % 7 + 3) % 7)
}

/// The first day of a day's year.
fn year(day: u16) -> u16 {
    let epoch = jiff::civil::date(1970, 1, 1);
    let first = epoch.checked_add(jiff::Span::new().days(day)).map(jiff::civil::Date::first_of_year);
    let days = first.and_then(|first| epoch.until(first)).map(|span| span.get_days());
    // Every day until 2149 has a year; its own day would do as well.
    days.ok().and_then(|days| u16::try_from(days).ok()).unwrap_or(day)
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Where a batch's rows go.
const TABLES: [Table; 8] = [
    Table { name: "slices", rows: slices::rows, fill: slices::fill },
    Table { name: "sightings", rows: |batch| batch.sightings.len(), fill: fill_sightings },
    Table { name: "no_ip", rows: |batch| batch.no_ip.len(), fill: fill_no_ip },
    Table { name: "connections", rows: |batch| batch.connections.len(), fill: connections::fill },
    Table { name: "dns", rows: |batch| batch.dns.len(), fill: names::fill_dns },
    Table { name: "peer_names", rows: peer_names::rows, fill: peer_names::fill },
    Table { name: "tls_hellos", rows: |batch| batch.tls_hellos.len(), fill: names::fill_tls_hellos },
    Table { name: "time_requests", rows: |batch| batch.time_requests.len(), fill: names::fill_time_requests },
];
/// Which batches are stored: written last.
const BATCHES: Table = Table { name: "batches", rows: |_| 1, fill: fill_batches };

const NANOS_PER_DAY: i64 = 86_400_000_000_000;
/// ClickHouse advises against many partitions; DESIGN section 5 asks for at most some 50.
const MAX_DAILY_PARTITIONS: u16 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_begins_on_its_first_day() {
        // 1970-01-01, 1970-12-31, 1971-01-01, 2026-11-28, 2149-06-06.
        assert_eq!([0, 364, 365, 20_785, u16::MAX].map(year), [0, 0, 365, 20_454, 65_379]);
    }

    #[test]
    fn a_week_begins_on_its_monday() {
        // 1970-01-01 (there is no Monday before it), 1970-01-05, 2026-11-28, 2149-06-06.
        assert_eq!([0, 4, 20_785, u16::MAX].map(monday), [0, 4, 20_780, 65_531]);
    }

    #[test]
    fn stored_seqs_close_their_gaps() {
        let mut stored = StoredSeqs::default();
        stored.add(3);
        stored.add(1);
        assert_eq!((stored.through, stored.contains(2), stored.contains(3)), (1, false, true));
        stored.add(2);
        assert_eq!((stored.through, stored.beyond.len()), (3, 0));
    }
}
