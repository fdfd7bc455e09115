//! How the system itself is.

use std::io::{self, Write};

use iotq_proto::{
    LinkProtocol, UndecodedReason,
    v1::{self, CollectorStatus, Header, SpoolState, Status, StoreStatus, TableStatus, question::Ask},
};

use super::Question;
use crate::{
    args::Format,
    config::{Config, InvalidConfig, LimitRule},
    render::{Cell, Column, Csv, Sections, Sheet, gap_cell, label_counts, lost_by_stage, nested, stored_bytes},
};

/// How collectors and store are doing
///
/// Sums are over everything that is stored of a collector; a range of time and filters do not apply. As CSV there is a
/// line for each collector, without the store.
#[derive(Clone, Debug, clap::Args)]
#[command(name = "status", after_help = "Example:\n  iotq status --format json | jq '.rows[0].store'")]
pub struct StatusQuestion {}

impl Question for StatusQuestion {
    type Row = Status;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Status(v1::StatusQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Status> {
        rows.status
    }

    fn columns(&self) -> Vec<Column<Status>> {
        type Col = Column<Status>;
        vec![
            Col::data("collectors", |it| {
                Cell::List(it.collectors.iter().map(|it| nested(&collector_columns(), it)).collect())
            }),
            Col::data("store", |it| match &it.store {
                Some(store) => nested(&store_columns(), store),
                None => Cell::Null,
            }),
            Col::data("certificate_expires_at", |it| Cell::time(it.certificate_expires_at_ns)),
            Col::data("versions", |it| {
                let mut versions: Vec<_> = it.versions.iter().collect();
                versions.sort();
                Cell::Object(versions.into_iter().map(|(name, text)| (name.clone(), Cell::text(text))).collect())
            }),
        ]
    }

    fn limit(&self, _format: Format) -> LimitRule {
        LimitRule::All
    }

    fn is_about_packets(&self) -> bool {
        false
    }

    fn sheet<'a, W: Write + 'a>(&self, out: W, config: &'a Config) -> Box<dyn Sheet<Status> + 'a> {
        Box::new(Sections::new(out, &config.terminal))
    }

    fn csv<'a, W: Write + 'a>(&self, out: W, config: &'a Config) -> Box<dyn Sheet<Status> + 'a> {
        Box::new(CollectorLines(Csv::new(out, collector_columns(), config.terminal.is_interactive)))
    }
}

/// A line a collector: what a spreadsheet can use.
struct CollectorLines<W>(Csv<W, CollectorStatus>);

impl<W: Write> Sheet<Status> for CollectorLines<W> {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.0.begin(header)
    }

    fn row(&mut self, status: &Status) -> io::Result<()> {
        status.collectors.iter().try_for_each(|collector| self.0.row(collector))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn end(&mut self, truncated: bool) -> io::Result<()> {
        self.0.end(truncated)
    }
}

/// All packets that any stage lost.
pub(crate) fn lost_packets(it: &CollectorStatus) -> u64 {
    it.lost_by_stage.iter().fold(0, |sum, count| sum.saturating_add(count.packets))
}

/// Frames by the reason for which they are in no flow.
pub(crate) fn undecoded_by_reason(it: &CollectorStatus) -> Cell {
    label_counts(it.undecoded_by_reason.iter().map(|count| {
        let label = UndecodedReason::try_from(count.reason)
            .map_or_else(|_| format!("reason-{}", count.reason), |reason| reason.label().to_owned());
        (label, count.frames)
    }))
}

/// Frames without IP by what they carry, whoever sent them.
pub(crate) fn no_ip_by_protocol(it: &CollectorStatus) -> Cell {
    label_counts(it.no_ip_by_protocol.iter().map(|count| {
        let label = LinkProtocol::from_u32(count.link_protocol)
            .map_or_else(|| format!("unknown-0x{:x}", count.link_protocol), |protocol| protocol.to_string());
        (label, count.frames)
    }))
}

fn collector_columns() -> Vec<Column<CollectorStatus>> {
    type Col = Column<CollectorStatus>;
    vec![
        Col::data("collector", |it| Cell::text(&it.collector)),
        Col::data("connected", |it| Cell::Bool(it.connected)),
        Col::data("version", |it| Cell::text(&it.version)),
        Col::data("inputs", |it| Cell::List(it.inputs.iter().map(|input| Cell::text(input)).collect())),
        Col::data("last_batch_at", |it| Cell::time(it.last_batch_at_ns)),
        Col::data("batches", |it| Cell::Count(it.batches)),
        Col::data("frames", |it| Cell::Count(it.frames)),
        Col::data("stored_packets", |it| Cell::Count(it.stored_packets)),
        Col::data("no_ip", |it| Cell::Count(it.no_ip)),
        Col::data("undecoded", |it| Cell::Count(it.undecoded)),
        Col::data("lost_packets", |it| Cell::Count(lost_packets(it))),
        Col::data("lost_by_stage", |it| lost_by_stage(&it.lost_by_stage)),
        Col::data("undecoded_by_reason", undecoded_by_reason),
        Col::data("no_ip_by_protocol", no_ip_by_protocol),
        Col::data("clamped_times", |it| Cell::Count(it.clamped_times)),
        Col::data("covered_from_at", |it| Cell::time(it.covered_from_at_ns)),
        Col::data("covered_until_at", |it| Cell::time(it.covered_until_at_ns)),
        Col::data("certificate_expires_at", |it| Cell::time(it.certificate_expires_at_ns)),
        Col::data("gaps", |it| Cell::List(it.gaps.iter().map(gap_cell).collect())),
        Col::data("spool", |it| match &it.spool {
            Some(spool) => nested(&spool_columns(), spool),
            None => Cell::Null,
        }),
    ]
}

/// What waited at the collector when it sent its newest batch, that one among it.
fn spool_columns() -> Vec<Column<SpoolState>> {
    type Col = Column<SpoolState>;
    vec![
        Col::data("batches", |it| Cell::Count(it.batches)),
        Col::data("bytes", |it| Cell::Bytes(it.bytes)),
        Col::data("oldest_at", |it| Cell::time(it.oldest_sealed_at_ns)),
        Col::data("degraded", |it| Cell::Bool(it.degraded)),
        Col::data("given_up_frames", |it| Cell::Count(it.given_up_frames)),
        Col::data("damaged_files", |it| Cell::Count(it.damaged_files)),
    ]
}

fn store_columns() -> Vec<Column<StoreStatus>> {
    type Col = Column<StoreStatus>;
    vec![
        Col::data("kind", |it| Cell::text(&it.kind)),
        Col::data("bytes", |it| Cell::Bytes(stored_bytes(it))),
        Col::data("tables", |it| {
            Cell::Object(it.tables.iter().map(|table| (table.table.clone(), table_cell(table))).collect())
        }),
        Col::data("oldest_at", |it| Cell::time(it.oldest_at_ns)),
        Col::data("free_bytes", |it| Cell::Bytes(it.free_bytes)),
        Col::data("full", |it| if it.full.is_empty() { Cell::Null } else { Cell::text(&it.full) }),
        Col::data("retention_bytes", |it| it.retention_bytes.map_or(Cell::Null, Cell::Bytes)),
        Col::data("bytes_per_day", |it| Cell::Bytes(it.bytes_per_day)),
        Col::data("days_left", |it| it.days_left.map_or(Cell::Null, Cell::Rate)),
    ]
}

fn table_cell(table: &TableStatus) -> Cell {
    type Col = Column<TableStatus>;
    let columns = [
        Col::data("bytes", |it| Cell::Bytes(it.bytes)),
        Col::data("rows", |it| Cell::Count(it.rows)),
        Col::data("oldest_at", |it| Cell::time(it.oldest_at_ns)),
        Col::data("retention_days", |it| it.retention_days.map_or(Cell::Null, |days| Cell::Count(days.into()))),
        Col::data("bytes_per_day", |it| Cell::Bytes(it.bytes_per_day)),
    ];
    nested(&columns, table)
}
