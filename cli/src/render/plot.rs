//! A timeline as a plot of block characters: one key large, several as lines
//! of small ones.

mod axis;
mod bars;

use std::{
    collections::HashMap,
    io::{self, Write},
};

use iotq_proto::v1::{Header, TimelinePoint};

use self::{
    axis::Axis,
    bars::{block_row, full_rows},
};
use super::{
    Sheet,
    layout::{GAP, fitted, shortened, width_of},
    safe,
    units::{self, Zoned},
};
use crate::terminal::Terminal;

/// Collects the points and draws them at the end.
pub struct Plot<W> {
    out: W,
    terminal: Terminal,
    measure: Measure,
    /// The most keys to draw; 0: all.
    limit: u64,
    range: (Option<i64>, Option<i64>),
    keys: HashMap<String, Series>,
    points: usize,
    step_secs: u64,
    /// Somebody asked for points of this length.
    is_step_typed: bool,
    remark: Option<String>,
}

/// What the height stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// Packets.
    Packets,
    /// Bytes on the wire.
    Bytes,
}

#[derive(Default)]
struct Series {
    /// What the key is called; empty: it has no name.
    name: String,
    /// When, and how much.
    points: Vec<(i64, u64)>,
    total: u64,
}

impl Series {
    /// What the reader knows it by.
    fn called<'a>(&'a self, key: &'a str) -> &'a str {
        match (self.name.as_str(), key) {
            ("", "") => "-",
            ("", key) => key,
            (name, _) => name,
        }
    }
}

impl<W: Write> Plot<W> {
    /// Nothing to draw yet.
    #[must_use]
    pub fn new(out: W, terminal: &Terminal, measure: Measure, limit: u64, is_step_typed: bool) -> Self {
        Self {
            out,
            terminal: terminal.clone(),
            measure,
            limit,
            range: (None, None),
            keys: HashMap::new(),
            points: 0,
            step_secs: 1,
            is_step_typed,
            remark: None,
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let Some((from_ns, until_ns)) = self.drawn_range() else { return Ok(()) };
        let mut series: Vec<_> = std::mem::take(&mut self.keys).into_iter().collect();
        series.sort_by(|(a_key, a), (b_key, b)| b.total.cmp(&a.total).then_with(|| a_key.cmp(b_key)));
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if limit > 0 && series.len() > limit {
            self.remark = Some(format!("drawn are the busiest {limit} of {}; -n 0 draws all", series.len()));
            series.truncate(limit);
        }
        match series.as_slice() {
            [(key, one)] => self.draw_one(one.called(key), one, from_ns, until_ns),
            all => self.draw_small(all, from_ns, until_ns),
        }
    }

    /// The range that was asked for; where it has no bound, that of the points.
    fn drawn_range(&self) -> Option<(i64, i64)> {
        let times = || self.keys.values().flat_map(|series| series.points.iter().map(|(at, _)| *at));
        let step_ns = i64::try_from(self.step_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let (first, last) = (times().min()?, times().max()?);
        // The first point may begin before the range that it is the rest of.
        let from = self.range.0.map_or(first, |since| since.min(first));
        let until = self.range.1.unwrap_or_else(|| last.saturating_add(step_ns)).max(last.saturating_add(1));
        Some((from, until))
    }

    fn draw_one(&mut self, key: &str, series: &Series, from_ns: i64, until_ns: i64) -> io::Result<()> {
        let highest_label = width_of(&self.amount(series.total));
        let width = self.terminal.drawing_width().saturating_sub(highest_label + 2).max(MIN_WIDTH);
        let axis = Axis::new(from_ns, until_ns, self.step_secs, width);
        let heights = axis.heights(&series.points);
        let max = heights.iter().copied().max().unwrap_or(0);
        let labels = [self.amount(max), self.amount(max / 2)];
        let margin = labels.iter().map(|label| width_of(label)).max().unwrap_or(1);
        self.caption(key, &axis)?;
        for (index, row) in full_rows(&heights, max, HEIGHT).iter().enumerate() {
            let label = match index {
                0 => labels[0].as_str(),
                // Half of one packet would be none.
                _ if index * 2 == HEIGHT && max > 1 => labels[1].as_str(),
                _ => "",
            };
            let tick = if label.is_empty() { "│" } else { "┤" };
            self.row(&fitted(label, margin, true), tick, row, "")?;
        }
        self.axis_lines(&axis, margin, "└")
    }

    fn draw_small(&mut self, all: &[(String, Series)], from_ns: i64, until_ns: i64) -> io::Result<()> {
        let names: Vec<_> = all.iter().map(|(key, series)| safe(series.called(key))).collect();
        let margin = names
            .iter()
            .map(|name| width_of(name))
            .max()
            .unwrap_or(0)
            .min(MAX_NAME)
            .min(self.terminal.drawing_width() / 4);
        let totals: Vec<_> = all.iter().map(|(_, series)| self.amount(series.total)).collect();
        let heading = match self.measure {
            Measure::Packets => "PACKETS",
            Measure::Bytes => "BYTES",
        };
        let total_width = totals.iter().map(|total| width_of(total)).max().unwrap_or(0).max(heading.len());
        // A peak has at most as many digits as its total.
        let peak_width = total_width.max("PEAK".len());
        let beside = margin + 1 + GAP.len() * 2 + total_width + peak_width + 1;
        let width = self.terminal.drawing_width().saturating_sub(beside).max(MIN_WIDTH);
        let axis = Axis::new(from_ns, until_ns, self.step_secs, width);
        self.caption("", &axis)?;
        let empty = " ".repeat(margin + 2 + axis.columns());
        writeln!(
            self.out,
            "{empty}{GAP}{}{GAP}{}",
            fitted("PEAK", peak_width, true),
            fitted(heading, total_width, true)
        )?;
        for ((name, total), (_, series)) in names.iter().zip(&totals).zip(all) {
            let heights = axis.heights(&series.points);
            let max = heights.iter().copied().max().unwrap_or(0);
            let peak = fitted(&self.amount(max), peak_width, true).into_owned();
            let numbers = format!("│{GAP}{peak}{GAP}{}", fitted(total, total_width, true));
            self.row(&fitted(&shortened(name, margin), margin, false), "│", &block_row(&heights, max), &numbers)?;
        }
        self.axis_lines(&axis, margin, "└")
    }

    fn caption(&mut self, key: &str, axis: &Axis) -> io::Result<()> {
        let what = match self.measure {
            Measure::Packets => "packets",
            Measure::Bytes => "bytes",
        };
        // All traffic together has no key.
        let key = if matches!(key, "" | "-") { String::new() } else { format!("{}: ", safe(key)) };
        let (from, until) = axis.range_ns();
        let at = |at_ns| Zoned { at_ns, time_zone: &self.terminal.time_zone };
        let per = units::seconds(axis.column_secs());
        if self.is_step_typed && axis.column_secs() > self.step_secs && self.remark.is_none() {
            let step = units::seconds(self.step_secs);
            self.remark =
                Some(format!("there is no room for points of {step}: a column is {per}; --format csv has all"));
        }
        let caption = format!("{key}{what} per {per}, {} to {}", at(from), at(until));
        writeln!(self.out, "{}", shortened(&caption, self.terminal.drawing_width()))
    }

    fn row(&mut self, label: &str, tick: &str, blocks: &str, after: &str) -> io::Result<()> {
        let (cyan, plain) = if self.terminal.color { ("\x1b[36m", "\x1b[0m") } else { ("", "") };
        if after.is_empty() && plain.is_empty() {
            writeln!(self.out, "{}", format!("{label} {tick}{blocks}").trim_end())
        } else {
            writeln!(self.out, "{label} {tick}{cyan}{blocks}{plain}{after}")
        }
    }

    fn axis_lines(&mut self, axis: &Axis, margin: usize, corner: &str) -> io::Result<()> {
        let (line, labels) = axis.draw(&self.terminal.time_zone);
        let indent = " ".repeat(margin + 1);
        writeln!(self.out, "{indent}{corner}{line}")?;
        writeln!(self.out, "{}", format!("{indent} {labels}").trim_end())
    }

    fn amount(&self, amount: u64) -> String {
        match self.measure {
            Measure::Packets => units::count(amount),
            Measure::Bytes => units::bytes(amount),
        }
    }
}

impl<W: Write> Sheet<TimelinePoint> for Plot<W> {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.range = (header.since_ns, header.until_ns);
        Ok(())
    }

    fn row(&mut self, point: &TimelinePoint) -> io::Result<()> {
        if self.points >= MAX_POINTS {
            self.remark = Some(format!("only the first {MAX_POINTS} points are drawn; a longer --step makes fewer"));
            return Ok(());
        }
        self.points += 1;
        self.step_secs = self.step_secs.max(point.step_secs);
        let amount = match self.measure {
            Measure::Packets => point.packets,
            Measure::Bytes => point.wire_bytes,
        };
        let series = self.keys.entry(point.key.clone()).or_default();
        if series.name.is_empty() {
            series.name.clone_from(&point.name);
        }
        series.points.push((point.at_ns, amount));
        series.total = series.total.saturating_add(amount);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _truncated: bool) -> io::Result<()> {
        self.draw()?;
        self.out.flush()
    }

    fn remark(&self) -> Option<String> {
        self.remark.clone()
    }
}

/// Lines of the large plot: a third of a small terminal.
const HEIGHT: usize = 8;
/// Less says nothing, however narrow the terminal.
const MIN_WIDTH: usize = 10;
/// Longer names would leave no room for what they did.
const MAX_NAME: usize = 24;
/// At some 100 bytes a point, this is what a small server can spare.
const MAX_POINTS: usize = 2_000_000;
