//! JSON: one object for the whole answer, or one a row. Rows are written when
//! they come; none is kept.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
};

use iotq_proto::v1::{Coverage, Gap, Header};
use serde::Serialize;
use serde_json::ser::Formatter;

use super::{Cell, Column, Sheet, column::RowObject, column::nested, notes::lost_by_stage, safe::is_unsafe};

/// `{"since", "until", "coverage", "notes", "rows", "truncated"}`, with a line for each row.
pub(super) struct JsonAnswer<W, R> {
    out: W,
    columns: Vec<Column<R>>,
    has_rows: bool,
}

impl<W: Write, R> JsonAnswer<W, R> {
    pub(super) fn new(out: W, columns: Vec<Column<R>>) -> Self {
        Self { out, columns, has_rows: false }
    }
}

impl<W: Write, R> Sheet<R> for JsonAnswer<W, R> {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.out.write_all(b"{\"since\":")?;
        write(&mut self.out, &Cell::time(header.since_ns))?;
        self.out.write_all(b",\"until\":")?;
        write(&mut self.out, &Cell::time(header.until_ns))?;
        self.out.write_all(b",\"coverage\":")?;
        write(&mut self.out, &coverage_cell(header.coverage.as_ref().unwrap_or(&Coverage::default())))?;
        self.out.write_all(b",\"notes\":")?;
        write(&mut self.out, &Cell::List(header.notes.iter().cloned().map(Cell::Text).collect()))?;
        self.out.write_all(b",\"rows\":[")
    }

    fn row(&mut self, row: &R) -> io::Result<()> {
        self.out.write_all(if self.has_rows { b",\n" } else { b"\n" })?;
        self.has_rows = true;
        write(&mut self.out, &RowObject { columns: &self.columns, row })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, truncated: bool) -> io::Result<()> {
        let closing = if self.has_rows { "\n]" } else { "]" };
        writeln!(self.out, "{closing},\"truncated\":{truncated}}}")?;
        self.out.flush()
    }
}

/// The rows, one object a line.
pub struct JsonLines<W, R> {
    out: W,
    columns: Vec<Column<R>>,
}

impl<W: Write, R> JsonLines<W, R> {
    /// No lines yet.
    #[must_use]
    pub fn new(out: W, columns: Vec<Column<R>>) -> Self {
        Self { out, columns }
    }
}

impl<W: Write, R> Sheet<R> for JsonLines<W, R> {
    fn begin(&mut self, _header: &Header) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, row: &R) -> io::Result<()> {
        write(&mut self.out, &RowObject { columns: &self.columns, row })?;
        self.out.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _truncated: bool) -> io::Result<()> {
        self.out.flush()
    }
}

fn coverage_cell(coverage: &Coverage) -> Cell {
    type Col = Column<Coverage>;
    let columns = [
        Col::data("collectors_expected", |it| Cell::Count(it.collectors_expected.into())),
        Col::data("collectors_reporting", |it| Cell::Count(it.collectors_reporting.into())),
        Col::data("frames", |it| Cell::Count(it.frames)),
        Col::data("lost_packets", |it| Cell::Count(it.lost_packets)),
        Col::data("lost_by_stage", |it| lost_by_stage(&it.lost_by_stage)),
        Col::data("undecoded", |it| Cell::Count(it.undecoded)),
        Col::data("gaps", |it| Cell::List(it.gaps.iter().map(gap_cell).collect())),
    ];
    nested(&columns, coverage)
}

/// A stretch of which nothing is known.
pub(crate) fn gap_cell(gap: &Gap) -> Cell {
    type Col = Column<Gap>;
    let columns = [
        Col::data("collector", |it| Cell::text(&it.collector)),
        Col::data("from_at", |it| Cell::Time(it.from_at_ns)),
        Col::data("until_at", |it| Cell::Time(it.until_at_ns)),
        Col::data("reason", |it| Cell::text(it.reason().label())),
        Col::data("missing_batches", |it| Cell::Count(it.missing_batches)),
    ];
    nested(&columns, gap)
}

fn write(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    // An error of the writer comes back as the one it was, a closed pipe above all.
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Printable)).map_err(io::Error::from)
}

/// Compact JSON that can also be shown: `serde_json` escapes what JSON demands,
/// but a terminal obeys DEL and the C1 controls too.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        out.write_all(printable(fragment).as_bytes())
    }
}

fn printable(fragment: &str) -> Cow<'_, str> {
    if !fragment.chars().any(is_unsafe) {
        return Cow::Borrowed(fragment);
    }
    let mut escaped = BTreeMap::new();
    for char in fragment.chars().filter(|char| is_unsafe(*char)) {
        // All of them lie in the first plane, so that one unit of UTF-16 is enough.
        escaped.insert(char, format!("\\u{:04x}", u32::from(char)));
    }
    let text = |char: char| escaped.get(&char).map_or_else(|| char.to_string(), String::clone);
    Cow::Owned(fragment.chars().map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_as_it_was_and_cannot_be_obeyed() {
        let text = "\x1b[31m \u{7f}\u{9b}2J \u{202e}\" \\ Küche";
        let mut out = Vec::new();
        write(&mut out, &Cell::Text(text.to_owned())).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(json, "\"\\u001b[31m \\u007f\\u009b2J \\u202e\\\" \\\\ Küche\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
