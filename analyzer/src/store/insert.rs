//! Storing batches: each once, however often it is sent.
//!
//! Every insert carries the batch id as `insert_deduplication_token`, so that one
//! that is repeated after a crash changes neither a table nor the roll-ups behind
//! it. Tokens are remembered a while only; a batch that is resent much later is
//! found in `batches`, which is written last.

mod connections;
mod names;

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv6Addr,
};

use clickhouse::{
    Row,
    native::{builder::BlockBuilder, encode::Encode},
};
use iotq_proto::{BatchId, CheckedBatch, CollectorId, LossStage, Timestamp, UndecodedReason, v1};
use serde::Deserialize;

use super::Store;

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
    /// The disk did not keep it.
    #[error("stored data not synced to the disk")]
    Sync(#[source] std::io::Error),
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
            Self::Sync(error) => error.kind() == std::io::ErrorKind::StorageFull,
            Self::Block { .. } => false,
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
            Self::Table { .. } | Self::Sync(_) => false,
        }
    }
}

/// The number in `Code: 53. DB::Exception: …`.
fn code(text: &str) -> Option<u16> {
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

impl Store {
    /// Stores a batch: all its rows, and last the row that says so.
    ///
    /// # Errors
    /// If ClickHouse does not take it. Parts may be stored; storing it again adds
    /// what is missing, and only that.
    ///
    /// While the store is full it waits.
    pub async fn insert(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        self.room.wait().await;
        let result = self.insert_all(batch).await;
        self.room.note(result.as_ref());
        result
    }

    async fn insert_all(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let slices = self.insert_slices(batch);
        let sightings = self.insert_sightings(batch);
        let no_ip = self.insert_no_ip(batch);
        let connections = self.insert_connections(batch);
        let (dns, hellos, times) =
            (self.insert_dns(batch), self.insert_tls_hellos(batch), self.insert_time_requests(batch));
        tokio::try_join!(slices, sightings, no_ip, connections, dns, hellos, times)?;
        self.insert_batch(batch).await?;
        match &self.durable {
            Some(durable) => durable.wait().await.map_err(InsertError::Sync),
            None => Ok(()),
        }
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
        let query = self.client.query_raw(sql).param("collector", collector.as_str()).param("epoch", epoch);
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
            .client
            .query_raw(sql)
            .param("fingerprint", hex(&source.fingerprint))
            .param("collector", batch.id().collector.as_str())
            .param("epoch", batch.id().epoch)
            .fetch_one::<Found>()
            .await?;
        Ok((found.batches > 0).then_some(found.sealed_at_ns))
    }

    async fn insert_slices(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let Some(slices) = batch.batch().slices.as_ref().filter(|slices| !slices.second.is_empty()) else {
            return Ok(());
        };
        let table = "slices";
        let arrived_on = self.arrived_on(batch);
        let id = batch.id();
        let mut block = BlockBuilder::new();
        let built = fill_slices(&mut block, slices, id, arrived_on);
        built.map_err(|source| InsertError::Block { table, source })?;
        self.insert_block(table, id, block).await
    }

    async fn insert_sightings(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let table = "sightings";
        let sightings = &batch.batch().sightings;
        if sightings.is_empty() {
            return Ok(());
        }
        let mut block = BlockBuilder::new();
        let collector = batch.id().collector.as_str();
        let built = (|| -> Result<(), BoxedError> {
            column(&mut block, "kind", sightings.iter().map(|sighting| sighting.kind().label()))?;
            column(&mut block, "collector", sightings.iter().map(|_| collector))?;
            column(&mut block, "vlan_id", sightings.iter().map(|sighting| narrow_u16(sighting.vlan_id)))?;
            column(&mut block, "mac", sightings.iter().map(|sighting| sighting.mac))?;
            column(&mut block, "ip", sightings.iter().map(|sighting| ip(&sighting.ip)))?;
            column(&mut block, "prefix_len", sightings.iter().map(|sighting| narrow_u8(sighting.prefix_len)))?;
            column(&mut block, "count", sightings.iter().map(|sighting| sighting.count))?;
            column(&mut block, "first_at_ns", sightings.iter().map(|sighting| sighting.first_at_ns))?;
            column(&mut block, "last_at_ns", sightings.iter().map(|sighting| sighting.last_at_ns))?;
            column(&mut block, "text", sightings.iter().map(|sighting| sighting.text.as_str()))
        })();
        built.map_err(|source| InsertError::Block { table, source })?;
        self.insert_block(table, batch.id(), block).await
    }

    async fn insert_no_ip(&self, batch: &CheckedBatch) -> Result<(), InsertError> {
        let table = "no_ip";
        let counts = &batch.batch().no_ip;
        if counts.is_empty() {
            return Ok(());
        }
        let arrived_on = self.arrived_on(batch);
        let from_ns = batch.batch().covered_from_at_ns.unwrap_or_default();
        let hour = Timestamp::from_nanos(from_ns).unwrap_or_default().second().div_euclid(3600) * 3600;
        let mut block = BlockBuilder::new();
        let collector = batch.id().collector.as_str();
        let built = (|| -> Result<(), BoxedError> {
            column(&mut block, "arrived_on", counts.iter().map(|_| arrived_on))?;
            column(&mut block, "collector", counts.iter().map(|_| collector))?;
            column(&mut block, "link_protocol", counts.iter().map(|count| count.link_protocol))?;
            column(&mut block, "mac", counts.iter().map(|count| count.mac))?;
            column(&mut block, "hour", counts.iter().map(|_| hour))?;
            column(&mut block, "frames", counts.iter().map(|count| count.frames))?;
            column(&mut block, "wire_bytes", counts.iter().map(|count| count.wire_bytes))
        })();
        built.map_err(|source| InsertError::Block { table, source })?;
        self.insert_block(table, batch.id(), block).await
    }

    async fn insert_batch(&self, checked: &CheckedBatch) -> Result<(), InsertError> {
        let table = "batches";
        let batch = checked.batch();
        let id = checked.id();
        let mut undecoded = HashMap::<&str, u64>::new();
        for count in &batch.undecoded {
            *undecoded.entry(UndecodedReason::label(count.reason())).or_default() += count.frames;
        }
        let mut lost = HashMap::<&str, u64>::new();
        for count in &batch.lost {
            *lost.entry(LossStage::label(count.stage())).or_default() += count.packets;
        }
        let source = batch.source.clone().unwrap_or_default();
        let mut block = BlockBuilder::new();
        let built = (|| -> Result<(), BoxedError> {
            column(&mut block, "collector", [id.collector.as_str()])?;
            column(&mut block, "epoch", [id.epoch])?;
            column(&mut block, "seq", [id.seq])?;
            column(&mut block, "sealed_at_ns", [batch.sealed_at_ns])?;
            column(&mut block, "arrived_on", [self.arrived_on(checked)])?;
            column(&mut block, "covered_from_at_ns", [batch.covered_from_at_ns.unwrap_or_default()])?;
            column(&mut block, "covered_until_at_ns", [batch.covered_until_at_ns.unwrap_or_default()])?;
            column(&mut block, "frames", [batch.frames])?;
            column(&mut block, "packets", [checked.packets()])?;
            column(&mut block, "no_ip", [batch.no_ip.iter().map(|count| count.frames).sum::<u64>()])?;
            column(&mut block, "undecoded", [undecoded])?;
            column(&mut block, "lost", [lost])?;
            column(&mut block, "clamped_times", [batch.clamped_times])?;
            column(&mut block, "source_name", [source.name.as_str()])?;
            column(&mut block, "source_fingerprint", [hex(&source.fingerprint).as_str()])
        })();
        built.map_err(|source| InsertError::Block { table, source })?;
        self.insert_block(table, id, block).await
    }

    async fn insert_block(
        &self,
        table: &'static str,
        id: &BatchId,
        mut block: BlockBuilder,
    ) -> Result<(), InsertError> {
        let block = block.build().map_err(|error| InsertError::Block { table, source: Box::new(error) })?;
        let mut insert = self
            .client
            .insert_native(table)
            .with_setting("insert_deduplication_token", id.to_string())
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            // Rows that belong together are put together by merges, and by whoever reads before that.
            // Doing so in the insert as well made the whole path a tenth slower.
            .with_setting("optimize_on_insert", "0");
        let failed = |source| InsertError::Table { table, source };
        insert.write(&block).await.map_err(failed)?;
        insert.end().await.map_err(failed)
    }

    /// The partition's day: when the batch was sealed, the same for each attempt.
    fn arrived_on(&self, batch: &CheckedBatch) -> u16 {
        let days = batch.batch().sealed_at_ns.div_euclid(NANOS_PER_DAY);
        // A clock before 1970 or after 2149 is none; the ends keep retention sane.
        let day = u16::try_from(days.clamp(0, u16::MAX.into())).unwrap_or_default();
        if self.about.retention_days > MAX_DAILY_PARTITIONS { monday(day) } else { day }
    }
}

fn fill_slices(
    block: &mut BlockBuilder,
    slices: &v1::FlowSlices,
    id: &BatchId,
    arrived_on: u16,
) -> Result<(), BoxedError> {
    let rows = || slices.packets.iter();
    let totals = Totals::of(slices);
    column(block, "arrived_on", rows().map(|_| arrived_on))?;
    column(block, "collector", rows().map(|_| id.collector.as_str()))?;
    column(block, "epoch", rows().map(|_| id.epoch))?;
    column(block, "seq", rows().map(|_| id.seq))?;
    column(block, "second", slices.second.iter().copied())?;
    column(block, "vlan_id", slices.vlan_id.iter().map(|vlan| narrow_u16(*vlan)))?;
    column(block, "a_mac", slices.a_mac.iter().copied())?;
    column(block, "b_mac", slices.b_mac.iter().copied())?;
    column(block, "a_ip", addresses(&slices.a_ip))?;
    column(block, "b_ip", addresses(&slices.b_ip))?;
    column(block, "ip_version", slices.ip_version.iter().copied())?;
    column(block, "protocol", slices.protocol.iter().copied())?;
    column(block, "has_ports", slices.has_ports.iter().copied())?;
    column(block, "a_port", slices.a_port.iter().map(|port| narrow_u16(*port)))?;
    column(block, "b_port", slices.b_port.iter().map(|port| narrow_u16(*port)))?;
    column(block, "a_packets", totals.a_packets)?;
    column(block, "b_packets", totals.b_packets)?;
    column(block, "a_wire_bytes", totals.a_wire_bytes)?;
    column(block, "b_wire_bytes", totals.b_wire_bytes)?;
    let tcp_flags: Vec<u16> = slices.tcp_flags.iter().map(|flags| narrow_u16(*flags)).collect();
    column(block, "offset_ns", Arrays::new(&slices.packets, &slices.offset_ns))?;
    column(block, "wire_bytes", Arrays::new(&slices.packets, &slices.wire_bytes))?;
    column(block, "payload_bytes", Arrays::new(&slices.packets, &slices.payload_bytes))?;
    column(block, "tcp_flags", Arrays::new(&slices.packets, &tcp_flags))?;
    column(block, "from_a", Arrays::new(&slices.packets, &slices.from_a))
}

/// Sums a slice and direction, so that questions need not open the arrays.
#[derive(Default)]
struct Totals {
    a_packets: Vec<u32>,
    b_packets: Vec<u32>,
    a_wire_bytes: Vec<u64>,
    b_wire_bytes: Vec<u64>,
}

impl Totals {
    fn of(slices: &v1::FlowSlices) -> Self {
        let mut totals = Self::default();
        let directions = Arrays::new(&slices.packets, &slices.from_a);
        let lengths = Arrays::new(&slices.packets, &slices.wire_bytes);
        for (from_a, wire_bytes) in directions.zip(lengths) {
            let (mut packets, mut octets) = ([0_u32; 2], [0_u64; 2]);
            for (from_a, wire_bytes) in from_a.iter().zip(wire_bytes) {
                let side = usize::from(*from_a == 0);
                if let (Some(packets), Some(octets)) = (packets.get_mut(side), octets.get_mut(side)) {
                    *packets += 1;
                    *octets += u64::from(*wire_bytes);
                }
            }
            totals.a_packets.push(packets[0]);
            totals.b_packets.push(packets[1]);
            totals.a_wire_bytes.push(octets[0]);
            totals.b_wire_bytes.push(octets[1]);
        }
        totals
    }
}

/// Cuts a column of packets into the slices' pieces.
struct Arrays<'a, T> {
    counts: std::slice::Iter<'a, u32>,
    rest: &'a [T],
}

impl<'a, T> Arrays<'a, T> {
    fn new(counts: &'a [u32], values: &'a [T]) -> Self {
        Self { counts: counts.iter(), rest: values }
    }
}

impl<'a, T> Iterator for Arrays<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<Self::Item> {
        let count = usize::try_from(*self.counts.next()?).ok()?;
        let (piece, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(piece)
    }
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

fn addresses(octets: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    octets.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets))
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
    day.saturating_sub((day + 3) % 7)
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

const NANOS_PER_DAY: i64 = 86_400_000_000_000;
/// ClickHouse advises against many partitions; DESIGN section 5 asks for at most some 50.
const MAX_DAILY_PARTITIONS: u16 = 50;

#[cfg(test)]
mod tests {
    use super::*;

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
