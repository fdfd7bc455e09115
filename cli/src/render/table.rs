//! Tables for people.

use std::io::{self, Write};

use iotq_proto::v1::Header;
use jiff::tz::TimeZone;

use super::{
    Column, Sheet,
    cell::NOTHING,
    column::Shown,
    layout::{GAP, Wish, fitted, width_of, widths},
};
use crate::terminal::Terminal;

/// A heading and a line for each row, in columns.
pub struct Table<W, R> {
    out: W,
    columns: Vec<Shown<R>>,
    width: Option<usize>,
    color: bool,
    time_zone: TimeZone,
    state: State,
    /// Columns for which there was no room.
    left_out: usize,
}

/// Widths follow from the first rows; they are kept until there are enough.
enum State {
    Measuring(Vec<Vec<String>>),
    Drawing(Vec<Option<usize>>),
}

impl<W: Write, R> Table<W, R> {
    /// An empty table.
    #[must_use]
    pub fn new(out: W, columns: Vec<Column<R>>, terminal: &Terminal) -> Self {
        let columns = columns.into_iter().filter_map(|column| column.shown).collect();
        let (width, color, time_zone) = (terminal.width, terminal.color, terminal.time_zone.clone());
        Self { out, columns, width, color, time_zone, state: State::Measuring(Vec::new()), left_out: 0 }
    }

    /// Chooses the widths and draws the rows that were kept.
    fn draw_kept(&mut self) -> io::Result<()> {
        let State::Measuring(rows) = &mut self.state else { return Ok(()) };
        let rows = std::mem::take(rows);
        if rows.is_empty() {
            return Ok(());
        }
        let widest = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|text| width_of(text)).max();
        let wish = |(index, column): (usize, &Shown<R>)| {
            let width = width_of(column.heading).max(widest(index).unwrap_or(0));
            let shortest = column.shortest.map(|shortest| shortest.max(width_of(column.heading)));
            // Columns in which nothing is known go before all others.
            let unknown = column.rank > 0 && rows.iter().all(|row| row.get(index).is_none_or(|text| text == NOTHING));
            Wish { width, shortest, rank: if unknown { UNKNOWN } else { column.rank } }
        };
        let wishes: Vec<_> = self.columns.iter().enumerate().map(wish).collect();
        let widths = widths(&wishes, self.width);
        let missed = |(wish, width): &(&Wish, &Option<usize>)| wish.rank != UNKNOWN && width.is_none();
        self.left_out = wishes.iter().zip(&widths).filter(missed).count();
        let headings = self.columns.iter().map(|column| column.heading.to_owned()).collect::<Vec<_>>();
        let (bold, plain) = if self.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(self.out, "{bold}{}{plain}", self.line(&headings, &widths))?;
        for row in &rows {
            writeln!(self.out, "{}", self.line(row, &widths))?;
        }
        self.state = State::Drawing(widths);
        Ok(())
    }

    fn line(&self, texts: &[String], widths: &[Option<usize>]) -> String {
        let mut line = String::new();
        for ((column, text), width) in self.columns.iter().zip(texts).zip(widths) {
            let Some(width) = *width else { continue };
            if !line.is_empty() {
                line.push_str(GAP);
            }
            line.push_str(&fitted(text, width, column.right));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

impl<W: Write, R> Sheet<R> for Table<W, R> {
    fn begin(&mut self, _header: &Header) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, row: &R) -> io::Result<()> {
        let texts = self.columns.iter().map(|column| (column.cell)(row).in_table(&self.time_zone)).collect();
        match &mut self.state {
            State::Measuring(rows) => {
                rows.push(texts);
                if rows.len() >= MEASURED_ROWS { self.draw_kept() } else { Ok(()) }
            }
            State::Drawing(widths) => {
                let line = {
                    let widths = widths.clone();
                    self.line(&texts, &widths)
                };
                writeln!(self.out, "{line}")
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _truncated: bool) -> io::Result<()> {
        self.draw_kept()?;
        self.out.flush()
    }

    fn break_off(&mut self) -> io::Result<()> {
        self.draw_kept()?;
        self.out.flush()
    }

    fn remark(&self) -> Option<String> {
        let columns = match self.left_out {
            0 => return None,
            1 => "1 column does not fit".to_owned(),
            more => format!("{more} columns do not fit"),
        };
        Some(format!("{columns}: a wider terminal shows more, --format json all"))
    }
}

/// Ranks before all that columns have.
const UNKNOWN: u8 = u8::MAX;
/// Several screens; what comes later is shortened where it is wider.
const MEASURED_ROWS: usize = 1000;
