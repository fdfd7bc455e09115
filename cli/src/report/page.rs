//! What the template shows: text that is ready, in sections and tables.

use askama::Template;
use jiff::tz::TimeZone;

use super::chart::Chart;
use crate::render::{Cell, Column};

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page {
    pub(super) range: String,
    pub(super) made: String,
    pub(super) version: &'static str,
    /// What matters most, in sentences.
    pub(super) summary: Vec<String>,
    pub(super) sections: Vec<Section>,
}

/// What there is to say on one matter.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// Sentences.
    pub(super) says: Vec<String>,
    pub(super) chart: Option<Chart>,
    pub(super) tables: Vec<Table>,
}

impl Section {
    pub(super) fn new(id: &'static str, title: &'static str) -> Self {
        Self { id, title, says: Vec::new(), chart: None, tables: Vec::new() }
    }

    pub(super) fn says(mut self, sentence: impl Into<String>) -> Self {
        self.says.push(sentence.into());
        self
    }

    /// Adds a table, or says in a sentence that there is nothing to put in it.
    pub(super) fn table_or(mut self, table: Table, nothing: &str) -> Self {
        if table.rows.is_empty() {
            self.says.push(nothing.to_owned());
        } else {
            self.tables.push(table);
        }
        self
    }
}

/// A table with a caption.
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) headings: Vec<Heading>,
    pub(super) rows: Vec<Vec<Field>>,
    /// What it does not show; empty: nothing.
    pub(super) more: String,
}

pub(super) struct Heading {
    pub(super) text: &'static str,
    pub(super) right: bool,
}

/// One field of a table.
pub(super) struct Field {
    pub(super) text: String,
    pub(super) right: bool,
    /// Drawn as a bar beside the text: 0 to 100.
    pub(super) bar: Option<String>,
}

/// Makes tables of rows.
pub(super) struct Tables<'a> {
    pub(super) time_zone: &'a TimeZone,
    /// The most rows in one; 0: all.
    pub(super) limit: usize,
}

impl Tables<'_> {
    /// The first rows; `truncated`: there are more than these.
    pub(super) fn table<R>(
        &self,
        caption: impl Into<String>,
        columns: Vec<Column<R>>,
        rows: &[R],
        truncated: bool,
    ) -> Table {
        let columns: Vec<_> = columns.into_iter().filter_map(|column| column.shown).collect();
        let limit = if self.limit == 0 { rows.len() } else { self.limit };
        let more = match rows.len().saturating_sub(limit) {
            0 if truncated => "There are more than these.".to_owned(),
            0 => String::new(),
            more if truncated => format!("And more than {more} others."),
            1 => "And one other.".to_owned(),
            more => format!("And {more} others."),
        };
        let field = |cell: Cell, right| Field {
            bar: match cell {
                Cell::Share(share) if share.is_finite() => Some(format!("{:.1}", share.clamp(0.0, 1.0) * 100.0)),
                _ => None,
            },
            text: cell.in_table(self.time_zone),
            right,
        };
        Table {
            caption: caption.into(),
            headings: columns.iter().map(|it| Heading { text: it.heading, right: it.right }).collect(),
            rows: rows
                .iter()
                .take(limit)
                .map(|row| columns.iter().map(|it| field((it.cell)(row), it.right)).collect())
                .collect(),
            more,
        }
    }
}
