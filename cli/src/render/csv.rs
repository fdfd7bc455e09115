//! Comma-separated values (RFC 4180, but with line feeds alone, as on Unix).

use std::{
    borrow::Cow,
    io::{self, Write},
};

use iotq_proto::v1::Header;

use super::{Column, Sheet, safe};

/// The column names, then the rows.
pub struct Csv<W, R> {
    out: W,
    columns: Vec<Column<R>>,
    /// A program gets the values as they are; a terminal must not obey them.
    for_terminal: bool,
    field: String,
}

impl<W: Write, R> Csv<W, R> {
    /// Nothing written yet; `for_terminal`: nothing that one would obey.
    #[must_use]
    pub fn new(out: W, mut columns: Vec<Column<R>>, for_terminal: bool) -> Self {
        columns.retain(|column| column.name.is_some());
        Self { out, columns, for_terminal, field: String::new() }
    }
}

impl<W: Write, R> Sheet<R> for Csv<W, R> {
    fn begin(&mut self, _header: &Header) -> io::Result<()> {
        let names: Vec<_> = self.columns.iter().filter_map(|column| column.name).collect();
        writeln!(self.out, "{}", names.join(","))
    }

    fn row(&mut self, row: &R) -> io::Result<()> {
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                self.out.write_all(b",")?;
            }
            self.field.clear();
            (column.cell)(row).in_csv(&mut self.field);
            let field = if self.for_terminal { safe(&self.field) } else { Cow::Borrowed(self.field.as_str()) };
            self.out.write_all(quoted(&field).as_bytes())?;
        }
        self.out.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _truncated: bool) -> io::Result<()> {
        self.out.flush()
    }
}

fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains(['"', ',', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_need_it_are_quoted() {
        let quoted = ["", "a b", "a,b", "say \"x\"", "two\nlines", " x"].map(|field| quoted(field).into_owned());
        assert_eq!(quoted, ["", "a b", "\"a,b\"", "\"say \"\"x\"\"\"", "\"two\nlines\"", "\" x\""]);
    }
}
