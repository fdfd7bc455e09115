//! The state of the system as readable sections.

use std::io::{self, Write};

use iotq_proto::v1::{CollectorStatus, Header, SpoolState, Status, StoreStatus, TableStatus};

use super::{
    Cell, Column, Sheet, Table,
    layout::{shortened, width_of},
    notes::stretch,
    safe,
    units::{Zoned, bytes, count},
};
use crate::{
    questions::status::{lost_packets, no_ip_by_protocol, undecoded_by_reason},
    render::lost_by_stage,
    terminal::Terminal,
};

/// Versions, the store, and a section for each collector.
pub struct Sections<W> {
    out: W,
    terminal: Terminal,
}

impl<W: Write> Sections<W> {
    /// Nothing yet.
    #[must_use]
    pub fn new(out: W, terminal: &Terminal) -> Self {
        Self { out, terminal: terminal.clone() }
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        let (bold, plain) = if self.terminal.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let text = shortened(text, self.terminal.width.unwrap_or(usize::MAX));
        writeln!(self.out, "{bold}{text}{plain}")
    }

    fn entry(&mut self, name: &str, value: &str) -> io::Result<()> {
        let room = self.terminal.width.map_or(usize::MAX, |width| width.saturating_sub(INDENT));
        let mut lead = format!("  {name:<11} ");
        for line in wrapped(value, room) {
            writeln!(self.out, "{lead}{line}")?;
            lead = " ".repeat(INDENT);
        }
        Ok(())
    }

    fn store(&mut self, store: &StoreStatus) -> io::Result<()> {
        let at = |at_ns| Zoned { at_ns, time_zone: &self.terminal.time_zone }.to_string();
        let oldest = store.oldest_at_ns.map_or_else(|| "nothing stored".to_owned(), at);
        self.heading("Store")?;
        self.entry("kind", &safe(&store.kind))?;
        self.entry("size", &bytes(stored_bytes(store)))?;
        self.entry("free", &bytes(store.free_bytes))?;
        if !store.full.is_empty() {
            self.entry("FULL", &format!("nothing is stored: {}", safe(&store.full)))?;
        }
        self.entry("oldest data", &oldest)?;
        self.entry("growth", &growth(store))?;
        if store.tables.is_empty() {
            return Ok(());
        }
        writeln!(self.out)?;
        let mut drawn = Vec::new();
        let room = self.terminal.width.map(|width| width.saturating_sub(2).max(1));
        let terminal = Terminal { width: room, ..self.terminal.clone() };
        let mut table = Table::new(&mut drawn, table_columns(), &terminal);
        for row in &store.tables {
            table.row(row)?;
        }
        table.end(false)?;
        drop(table);
        for line in drawn.split_inclusive(|byte| *byte == b'\n') {
            self.out.write_all(b"  ")?;
            self.out.write_all(line)?;
        }
        Ok(())
    }

    fn collector(&mut self, it: &CollectorStatus) -> io::Result<()> {
        let time_zone = self.terminal.time_zone.clone();
        let at = |at_ns| Zoned { at_ns, time_zone: &time_zone }.to_string();
        let state = if it.connected { "connected" } else { "not connected" };
        self.heading(&format!("Collector {} ({state})", safe(&it.collector)))?;
        if !it.version.is_empty() {
            self.entry("version", &safe(&it.version))?;
        }
        if !it.inputs.is_empty() {
            self.entry("inputs", &safe(&it.inputs.join(", ")))?;
        }
        self.entry("batches", &count(it.batches))?;
        if let Some(last) = it.last_batch_at_ns {
            self.entry("last batch", &at(last))?;
        }
        if let (Some(from), Some(until)) = (it.covered_from_at_ns, it.covered_until_at_ns) {
            self.entry("covered", &format!("{} to {}", at(from), at(until)))?;
        }
        self.entry("frames", &balance(it))?;
        let counts = [
            ("lost", lost_by_stage(&it.lost_by_stage)),
            ("undecoded", undecoded_by_reason(it)),
            ("without IP", no_ip_by_protocol(it)),
        ];
        for (name, counts) in counts.iter().filter(|(_, counts)| *counts != Cell::Object(Vec::new())) {
            self.entry(name, &counts.in_table(&time_zone))?;
        }
        if let Some(expires_ns) = it.certificate_expires_at_ns {
            self.entry("certificate", &format!("until {}", at(expires_ns)))?;
        }
        for gap in it.gaps.iter().take(GAPS_SHOWN) {
            self.entry("gap", &stretch(gap, &time_zone))?;
        }
        if let Some(spool) = &it.spool {
            self.entry("spool", &waiting(spool, &at))?;
        }
        if it.clamped_times > 0 {
            let times = count(it.clamped_times);
            self.entry("wrong times", &format!("{times}, each kept at the nearest that can be stored"))?;
        }
        Ok(())
    }
}

/// What waits at a collector, and what went wrong there.
fn waiting(spool: &SpoolState, at: &dyn Fn(i64) -> String) -> String {
    let mut parts = Vec::new();
    if spool.batches > 0 {
        let wait = if spool.batches == 1 { "batch waits" } else { "batches wait" };
        parts.push(format!("{} {wait} ({})", count(spool.batches), bytes(spool.bytes)));
        parts.extend(spool.oldest_sealed_at_ns.map(|oldest_ns| format!("the oldest since {}", at(oldest_ns))));
    } else {
        parts.push("nothing waits".to_owned());
    }
    if spool.degraded {
        parts.push("its folder does not work: in memory".to_owned());
    }
    if spool.given_up_frames > 0 {
        parts.push(format!("{} frames given up", count(spool.given_up_frames)));
    }
    if spool.damaged_files > 0 {
        parts.push(format!("{} damaged files", count(spool.damaged_files)));
    }
    parts.join(", ")
}

impl<W: Write> Sheet<Status> for Sections<W> {
    fn begin(&mut self, _header: &Header) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, status: &Status) -> io::Result<()> {
        self.heading("Versions")?;
        let mut versions: Vec<_> = status.versions.iter().collect();
        versions.sort();
        for (program, version) in versions {
            self.entry(&safe(program), &safe(version))?;
        }
        if let Some(expires_ns) = status.certificate_expires_at_ns {
            let expires = Zoned { at_ns: expires_ns, time_zone: &self.terminal.time_zone }.to_string();
            self.entry("certificate", &format!("until {expires}"))?;
        }
        writeln!(self.out)?;
        self.store(status.store.as_ref().unwrap_or(&StoreStatus::default()))?;
        for collector in &status.collectors {
            writeln!(self.out)?;
            self.collector(collector)?;
        }
        if status.collectors.is_empty() {
            writeln!(self.out, "\nNo collector has sent anything yet.")?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _truncated: bool) -> io::Result<()> {
        self.out.flush()
    }
}

/// The words in lines of at most this width, longer words cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(&shortened(word, width));
        } else if width_of(line) + 1 + width_of(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(shortened(word, width).into_owned());
        }
    }
    lines
}

/// The bytes of all tables.
pub(crate) fn stored_bytes(store: &StoreStatus) -> u64 {
    store.tables.iter().fold(0, |sum, table| sum.saturating_add(table.bytes))
}

fn table_columns() -> Vec<Column<TableStatus>> {
    type Col = Column<TableStatus>;
    vec![
        Col::left("table", "TABLE", |it| Cell::text(&it.table)),
        Col::right("rows", "ROWS", |it| Cell::Count(it.rows)),
        Col::right("bytes", "SIZE", |it| Cell::Bytes(it.bytes)),
        Col::right("bytes_per_day", "A DAY", |it| Cell::Bytes(it.bytes_per_day)),
        Col::right("oldest_at", "OLDEST PARTITION", |it| {
            it.oldest_at_ns.map_or(Cell::Null, |at_ns| Cell::text(&day(at_ns)))
        }),
        Col::right("retention_days", "KEPT", |it| {
            it.retention_days.map_or_else(|| Cell::text("for ever"), |days| Cell::text(&format!("{days} days")))
        }),
    ]
}

/// A day in UTC, as partitions have them.
fn day(at_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(at_ns.into()).map(|at| at.strftime("%F").to_string()).unwrap_or_default()
}

/// How fast the store grows, and for how long there is room.
fn growth(store: &StoreStatus) -> String {
    let mut text = format!("{} a day", bytes(store.bytes_per_day));
    if let Some(days) = store.days_left {
        text.push_str(&format!(", room for {days:.0} days"));
    }
    if let Some(max_bytes) = store.retention_bytes {
        text.push_str(&format!(", at most {} are kept", bytes(max_bytes)));
    }
    text
}

/// Where each frame went.
fn balance(it: &CollectorStatus) -> String {
    let parts = [
        (it.stored_packets, "stored"),
        (it.no_ip, "without IP"),
        (it.undecoded, "undecoded"),
        (lost_packets(it), "lost"),
    ];
    let parts = parts.map(|(number, what)| format!("{} {what}", count(number)));
    format!("{} = {}", count(it.frames), parts.join(" + "))
}

/// More are in JSON.
const GAPS_SHOWN: usize = 3;
/// Two spaces, a name of eleven, a space.
const INDENT: usize = 14;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn every_frame_is_accounted_for() {
        let it = CollectorStatus { frames: 1_003, stored_packets: 1_000, no_ip: 2, undecoded: 1, ..Default::default() };
        assert_eq!(balance(&it), "1,003 = 1,000 stored + 2 without IP + 1 undecoded + 0 lost");
        assert_eq!(Cell::Object(Vec::new()).in_table(&TimeZone::UTC), "-");
    }
}
