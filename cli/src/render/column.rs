//! Columns: one definition from which all formats are made.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::Cell;

/// One column of an answer.
#[derive(Clone, Debug)]
pub struct Column<R> {
    /// The JSON key and CSV heading; `None`: in tables only.
    pub(super) name: Option<&'static str>,
    pub(super) cell: fn(&R) -> Cell,
    /// How tables show it; `None`: not at all.
    pub(crate) shown: Option<Shown<R>>,
}

/// How a table shows a column.
#[derive(Clone, Debug)]
pub(crate) struct Shown<R> {
    pub(crate) heading: &'static str,
    pub(crate) cell: fn(&R) -> Cell,
    pub(crate) right: bool,
    /// Where space is short the column with the highest rank goes first; 0: never.
    pub(super) rank: u8,
    /// It may be shortened to this many characters; `None`: shown whole.
    pub(super) shortest: Option<usize>,
}

impl<R> Column<R> {
    /// A column of the data, that tables do not show.
    #[must_use]
    pub fn data(name: &'static str, cell: fn(&R) -> Cell) -> Self {
        Self { name: Some(name), cell, shown: None }
    }

    /// A column of the data, that tables show with its values on the left.
    #[must_use]
    pub fn left(name: &'static str, heading: &'static str, cell: fn(&R) -> Cell) -> Self {
        Self { name: Some(name), cell, shown: Some(Shown { heading, cell, right: false, rank: 0, shortest: None }) }
    }

    /// A column of the data, that tables show with its values on the right.
    #[must_use]
    pub fn right(name: &'static str, heading: &'static str, cell: fn(&R) -> Cell) -> Self {
        Self { name: Some(name), cell, shown: Some(Shown { heading, cell, right: true, rank: 0, shortest: None }) }
    }

    /// A column that only tables have, with its values on the left: what
    /// several columns of the data say together.
    #[must_use]
    pub fn drawn(heading: &'static str, cell: fn(&R) -> Cell) -> Self {
        Self { name: None, cell, shown: Some(Shown { heading, cell, right: false, rank: 0, shortest: None }) }
    }

    /// Tables show its values on the right.
    #[must_use]
    pub fn on_the_right(mut self) -> Self {
        self.shown = self.shown.map(|shown| Shown { right: true, ..shown });
        self
    }

    /// Tables without the space for it leave it out, highest rank first.
    #[must_use]
    pub fn rank(mut self, rank: u8) -> Self {
        self.shown = self.shown.map(|shown| Shown { rank, ..shown });
        self
    }

    /// Tables without the space for it shorten it, but no further than this.
    #[must_use]
    pub fn shortest(mut self, width: usize) -> Self {
        self.shown = self.shown.map(|shown| Shown { shortest: Some(width), ..shown });
        self
    }

    /// Tables show something else than the data.
    #[must_use]
    pub fn shows(mut self, cell: fn(&R) -> Cell) -> Self {
        self.shown = self.shown.map(|shown| Shown { cell, ..shown });
        self
    }
}

/// A row as a JSON object with the columns' names.
pub(super) struct RowObject<'a, R> {
    pub(super) columns: &'a [Column<R>],
    pub(super) row: &'a R,
}

impl<R> Serialize for RowObject<'_, R> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for column in self.columns {
            if let Some(name) = column.name {
                map.serialize_entry(name, &(column.cell)(self.row))?;
            }
        }
        map.end()
    }
}

impl<R> RowObject<'_, R> {
    /// As a cell of another answer.
    pub(super) fn as_cell(&self) -> Cell {
        let entry = |column: &Column<R>| Some((column.name?.to_owned(), (column.cell)(self.row)));
        Cell::Object(self.columns.iter().filter_map(entry).collect())
    }
}

/// A row as a cell of another answer: an object with the columns' names.
pub(crate) fn nested<R>(columns: &[Column<R>], row: &R) -> Cell {
    RowObject { columns, row }.as_cell()
}
